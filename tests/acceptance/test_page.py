"""The page in a real Chromium, served by ``overstory up``: from a drag to a shared link."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser, Page, find_chromium
from tests.support.pictures import draw_image
from tests.support.ports import free_port
from tests.support.waiting import eventually
from tests.support.web_server import Server, gives, server

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(240),
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium: apt-get install chromium"),
]
__all__ = ["server"]

HOSTILE = "<img src=x onerror=document.title='owned'>.jpg"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service with its own sandbox."""
    home = tmp_path_factory.mktemp("page") / "home"
    port = free_port()
    environment = {"OVERSTORY_HOME": str(home), "OVERSTORY_SANDBOX": "true"}

    def overstory(*words: str) -> None:
        command = [sys.executable, "-m", "overstory", *words]
        done = subprocess.run(command, env=_clean() | environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    overstory("up", "--detach", "--no-flower", "--api-port", str(port))
    yield f"http://127.0.0.1:{port}"
    overstory("down", "--now")


def _clean() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("OVERSTORY_")}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(find_chromium() or "") as browser:
        yield browser


def until(page: Page, expression: str) -> None:
    eventually(lambda: bool(page.js(expression)), 60.0)


def text(page: Page, name: str) -> str:
    return str(page.js(f"document.getElementById({json.dumps(name)}).textContent"))


def drop(page: Page, *paths: Path) -> None:
    """Drag files and folders from elsewhere on the screen onto the page."""
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.call("Input.dispatchDragEvent", type=kind, x=400, y=400, data=data)


def is_ready(page: Page) -> None:
    until(page, "document.documentElement.dataset.ready === 'yes'")


def asked_with_price(page: Page, question: str) -> None:
    page.js("document.getElementById('ask').focus()")
    page.type(question)
    until(page, "document.getElementById('go').getAttribute('aria-disabled') === 'false'")


def jobs(service: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{service}/api/jobs", timeout=30) as reply:
        value: list[dict[str, Any]] = json.load(reply)
    return value


def sent(page: Page, method: str, part: str) -> int:
    return sum(
        event["params"]["request"]["method"] == method and part in event["params"]["request"]["url"]
        for event in page._mine("Network.requestWillBeSent")
    )


def test_the_way_from_a_drag_to_a_shared_link(
    browser: Browser, service: str, tmp_path: Path
) -> None:
    trip = tmp_path / "trip"
    for n in range(8):
        draw_image(trip / f"day {n % 2}" / f"{n:04}.jpg", n)
    draw_image(trip / HOSTILE, 9)
    (trip / "notes.txt").write_text("no picture")

    with browser.page(service) as page:
        is_ready(page)
        drop(page, trip)
        until(page, "document.getElementById('upload-words').textContent.startsWith('All are')")
        assert text(page, "chosen-words").startswith("9 pictures")
        assert "1 other file" in text(page, "chosen-words")
        assert jobs(service) == []  # uploading asks nobody
        page.js("document.querySelector('[value=both]').click()")
        page.js("document.getElementById('each').focus()")
        page.type("What is in it?")
        page.js("document.getElementById('columns-box').open = true")
        page.js("document.getElementById('columns').click()")
        page.type("colour")
        asked_with_price(page, "Which of these stands out?")
        assert text(page, "price-sum").startswith("about 0.0")
        assert text(page, "go").startswith("Ask for about 0.0")
        page.js("document.getElementById('go').focus()")
        page.press("Enter")

        until(page, "location.pathname.startsWith('/jobs/')")
        until(page, "document.querySelectorAll('#answer-text button[data-n]').length > 0")
        assert page.js("document.title") != "owned"
        cite = "#answer-text button[data-n]"
        page.hover(cite)
        until(page, "document.querySelector('#evidence img')?.naturalWidth > 0")
        assert page.js("document.querySelectorAll('.answers tbody tr').length") == 9
        page.js("document.querySelectorAll('.answers .sort')[1].click()")
        colours = page.js(
            "[...document.querySelectorAll('.answers td:nth-child(2)')].map((td) => td.textContent)"
        )
        assert colours == sorted(colours)

        page.js("document.getElementById('further-ask').focus()")
        page.type("And which is darkest?")
        until(
            page, "document.getElementById('further-go').getAttribute('aria-disabled') === 'false'"
        )
        assert text(page, "further-price").startswith("About 0.0")
        page.js("document.getElementById('further-go').click()")
        until(page, "document.querySelectorAll('#turns-list .prose:not(:has(.none))').length === 1")

        page.js("document.getElementById('share').click()")
        page.js("document.getElementById('share-go').click()")
        until(page, "document.getElementById('share-link').value !== ''")
        link = str(page.js("document.getElementById('share-link').value"))
        assert page.complaints() == []
        assert all(each.startswith((service, "blob:")) for each in page.fetched())

    with browser.page(link) as page:
        until(page, "document.documentElement.dataset.ready === 'yes'")
        assert text(page, "ask") == "Which of these stands out?"
        assert "colour" in text(page, "answer-text")
        assert page.complaints() == []
    assert [job["status"] for job in jobs(service)] == ["completed", "completed"]


def test_what_is_missing_after_a_cut_is_all_that_is_sent(
    browser: Browser, service: str, make_images: Callable[..., Path]
) -> None:
    files = sorted(make_images(6, start=100).iterdir())
    with browser.page(service) as page:
        is_ready(page)
        page.js("sessionStorage.clear()")
        drop(page, *files[:4])
        until(page, "document.getElementById('upload-words').textContent.startsWith('All are')")
        assert sent(page, "PUT", "/api/uploads/") == 4
        page.call("Network.setBlockedURLs", urls=["*/api/uploads/*"])
        drop(page, *files)
        until(page, "!document.getElementById('lost').hidden")  # the page says so

        page._browser.events.clear()
        page.call("Page.reload")
        until(page, "document.getElementById('upload-words')?.textContent.startsWith('4 of 6')")
        assert "only the other 2 are sent" in text(page, "upload-words")
        page.call("Network.setBlockedURLs", urls=[])
        drop(page, *files)
        until(page, "document.getElementById('upload-words').textContent.startsWith('All are')")
        assert sent(page, "PUT", "/api/uploads/") == 2
        page.js("document.getElementById('clear').click()")


def test_a_page_of_another_site_can_ask_nothing(
    browser: Browser, service: str, server: Server
) -> None:
    before = [job["id"] for job in jobs(service)]
    body = json.dumps({"images": ["/"], "ask": "What?"})
    page_of_a_stranger = f"""<!doctype html><form id=f method=post target=frame enctype=text/plain
      action="{service}/api/jobs"><input name='{{"images":["/"],"ask":"' value='"}}'></form>
      <iframe name=frame></iframe><script>
      const send = (options) => fetch("{service}/api/jobs", {{ method: "POST", mode: "no-cors",
        credentials: "include", body: {json.dumps(body)}, ...options }}).then(() => 1, () => 0);
      const image = new Promise((done) => {{ const it = new Image(); it.onerror = () => done("no");
        it.onload = () => done("yes"); it.src = "{service}/api/jobs/x/cancel"; }});
      const framed = new Promise((done) => {{
        document.querySelector("iframe").onload = () => done("done"); f.submit(); }});
      const read = fetch("{service}/api/jobs").then(() => "read", () => "refused");
      const put = fetch("{service}/api/uploads/{"0" * 64}", {{ method: "PUT", body: "" }})
        .then(() => "put", () => "refused");
      const plain = send({{ headers: {{ "Content-Type": "text/plain" }} }});
      globalThis.all = Promise.all([send({{}}), plain, image, framed, read, put])
        .then((answers) => answers.slice(2));
      </script>"""
    server.answers["/"] = gives(page_of_a_stranger.encode(), **{"Content-Type": "text/html"})
    with browser.page(server.url("/")) as page:
        assert page.js("globalThis.all") == ["no", "done", "refused", "refused"]
        statuses = {
            event["params"]["response"]["status"]
            for event in page._mine("Network.responseReceived")
            if event["params"]["response"]["url"].startswith(f"{service}/api/jobs")
        }
    assert statuses <= {403}  # the browser tells of some of them only
    assert [job["id"] for job in jobs(service)] == before


def test_a_large_list_stays_in_hand(browser: Browser, service: str) -> None:
    """6,000 leaves are drawn, and a button answers at once afterwards."""
    levels = json.dumps(["dryfwc" * 1_000, "w"])
    spans = "[Array.from({length: 6000}, (_, i) => [i + 1, i + 1]), [[1, 6000]]]"
    with browser.page(f"{service}/jobs/none") as page:
        is_ready(page)
        assert "belongs to somebody else" in text(page, "none")
        page.js("document.getElementById('watch').hidden = false")
        page.js(f"import('/static/levels.js').then((m) => m.drawLevels({levels}, {spans}))")
        words = text(page, "levels-words")
        assert words.startswith("answer: 0 of 1 done; leaves: 1,000 of 6,000 done")
        colours = page.js(
            "(() => { const c = document.getElementById('levels'); const found = new Set();"
            " const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            " for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255)"
            " found.add([data[i], data[i + 1], data[i + 2]].join()); return found.size; })()"
        )
        assert colours >= 5
