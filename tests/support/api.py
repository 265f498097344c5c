"""Clients of the HTTP API over its app, without a server process."""

from __future__ import annotations

from starlette.testclient import TestClient

from overstory.api.app import make_api
from tasks.runtime.services import Services

HERE = ("127.0.0.1", 50_000)
ELSEWHERE = ("192.0.2.7", 50_000)


def api_client(
    services: Services, token: str | None = None, peer: tuple[str, int] = HERE
) -> TestClient:
    """A client of this machine, or at ``peer``, that shows ``token`` if it is given."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return TestClient(
        make_api(services), base_url="http://127.0.0.1:8700", headers=headers, client=peer
    )
