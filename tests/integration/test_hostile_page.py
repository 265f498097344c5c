"""A page of another site in a real browser cannot use the API of its reader's machine."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from models.reads import inspect
from overstory.api.app import make_api
from overstory.api.connections import BoundedConnection
from tests.support.account import Account, on_one_database
from tests.support.browser import Browser, find_chromium
from tests.support.waiting import eventually
from tests.support.web_server import Server, gives

pytestmark = [pytest.mark.slow, on_one_database]

ATTACK = """<!doctype html><body><script>
const api = "@API@", spec = '@SPEC@';
const waiting = [];
const attempt = (name, work) => waiting.push(work().then(got => name + ": " + got, () => name));
const loads = (tag, url) => new Promise((resolve, reject) => {
  const part = document.createElement(tag);
  part.onload = () => resolve("loaded");
  part.onerror = reject;
  part.src = url;
  document.body.append(part);
});
const send = (path, options) => fetch(api + path, options).then(reply => reply.text());
const plain = {method: "POST", mode: "no-cors", body: spec};
attempt("plain", () => send("/api/jobs", {...plain, headers: {"Content-Type": "text/plain"}}));
attempt("json", () => send("/api/jobs", {
  method: "POST", body: spec, headers: {"Content-Type": "application/json"}}));
attempt("delete", () => send("/api/session", {method: "DELETE"}));
attempt("read", () => send("/api/jobs"));
attempt("image", () => loads("img", api + "/api/jobs"));
attempt("script", () => loads("script", api + "/api/jobs"));
attempt("socket", () => new Promise((resolve, reject) => {
  const line = new WebSocket(api.replace("http", "ws") + "/api/jobs");
  line.onopen = () => resolve("open");
  line.onerror = reject;
}));
for (const type of ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"]) {
  const frame = document.createElement("iframe");
  frame.name = type;
  const form = document.createElement("form");
  Object.assign(form, {method: "POST", action: api + "/api/jobs", enctype: type, target: type});
  const field = document.createElement("input");
  Object.assign(field, {name: spec.slice(0, -1) + ', "label": "', value: '"}'});
  form.append(field);
  document.body.append(frame, form);
  attempt(type, () => new Promise(resolve => { frame.onload = () => resolve(""); form.submit(); }));
}
navigator.sendBeacon(api + "/api/jobs", spec);
window.done = Promise.all(waiting);
</script>"""
OWN = """fetch("/api/jobs", {method: "POST", body: JSON.stringify(@SPEC@),
  headers: {"Content-Type": "application/json"}}).then(reply => reply.status)"""


@contextmanager
def served(app: Any) -> Iterator[tuple[int, list[tuple[str, str, int]]]]:
    """The app on a real port, and (method, path, status) of what it has answered."""
    answered: list[tuple[str, str, int]] = []

    async def recorded(scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                answered.append((scope["method"], scope["path"], message["status"]))
            await send(message)

        await app(scope, receive, sent)

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            recorded, http=BoundedConnection, ws="none", log_config=None, proxy_headers=False
        )
    )
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield listening.getsockname()[1], answered
    finally:
        server.should_exit = True
        thread.join()


def test_a_page_elsewhere_cannot_submit_read_or_delete(
    open_account: Callable[..., Account], make_images: Callable[..., Path], server: Server
) -> None:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium")
    folder = make_images(2)
    account = open_account(start=False, input_roots=(str(folder.parent),))
    spec = json.dumps({"images": [str(folder)], "ask": "?"})

    def jobs() -> int:
        with account.services.database.read() as connection:
            return len(inspect.jobs(connection))

    with served(make_api(account.services)) as (port, answered), Browser(program) as browser:
        api = f"http://127.0.0.1:{port}"
        page = ATTACK.replace("@API@", api).replace("@SPEC@", spec)
        server.answers["/"] = gives(page.encode(), **{"Content-Type": "text/html"})
        for host in ("localhost", "127.0.0.1"):  # another site; the same one, at another port
            answered.clear()
            with browser.page(server.url("/", host)) as evil:
                got = evil.js("window.done")
                read = [text for text in got if text.partition(": ")[2]]
                assert read == [], got
                eventually(lambda: len(answered) >= 10)
            assert {status for _, _, status in answered} == {403}, answered
        answered.clear()
        with browser.page(f"http://evil.localhost:{port}/docs") as rebound:  # DNS rebinding
            assert "this service is not called" in rebound.js("document.body.innerText")
        assert {status for _, _, status in answered} == {421}
        assert jobs() == 0
        with browser.page(f"{api}/docs") as own:
            assert own.js(OWN.replace("@SPEC@", spec)) == 201
        assert jobs() == 1
