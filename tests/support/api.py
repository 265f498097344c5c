"""Clients of the HTTP API over its app, without a server process and without workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.testclient import TestClient

from core.settings import load
from overstory.api.app import make_api
from tasks.runtime.services import Services
from tests.support.account import make_services

BASE = "http://127.0.0.1:8700"
HERE = ("127.0.0.1", 50_000)
ELSEWHERE = ("192.0.2.7", 50_000)


def api_client(
    services: Services, token: str | None = None, peer: tuple[str, int] = HERE
) -> TestClient:
    """A client of this machine, or at ``peer``, that shows ``token`` if it is given."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return TestClient(
        make_api(services),
        base_url=BASE,
        headers=headers,
        client=peer,
        raise_server_exceptions=False,
    )


@contextmanager
def api() -> Iterator[TestClient]:
    """A client of this machine, over services of the test's own settings."""
    services = make_services(load())
    try:
        with api_client(services) as client:
            yield client
    finally:
        services.close()


def events_of(text: str) -> list[tuple[int | None, str, dict[str, Any]]]:
    """(id, name, data) of each event of an event stream; comments are left out."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if fields:
            number = int(fields["id"]) if "id" in fields else None
            events.append((number, fields["event"], json.loads(fields["data"])))
    return events
