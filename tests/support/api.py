"""The HTTP API in this process, over a database and without workers."""

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


@contextmanager
def api(services: Services | None = None) -> Iterator[TestClient]:
    """A client of the API over ``services``; default: those of the test's own settings."""
    own = services or make_services(load())
    try:
        app = make_api(own)
        with TestClient(app, BASE, client=("127.0.0.1", 4711), raise_server_exceptions=False) as c:
            yield c
    finally:
        if services is None:
            own.close()


def events_of(text: str) -> list[tuple[int | None, str, dict[str, Any]]]:
    """(id, name, data) of each event of an event stream; comments are left out."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if fields:
            number = int(fields["id"]) if "id" in fields else None
            events.append((number, fields["event"], json.loads(fields["data"])))
    return events
