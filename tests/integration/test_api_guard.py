"""Who comes in to the HTTP API, by real requests: tokens, sessions, links, and pages elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from core.access import hashed, secret_of
from core.jobs import JobSpec
from models import state, tokens
from models.engine import Database
from models.state import Moved
from models.tables import Base, Session, Share
from overstory.api import guard, known_tokens
from overstory.api.app import make_api
from overstory.api.rates import Rates
from tasks import submit as submitting
from tasks.runtime.services import Services
from tests.support.account import Account, on_one_database

BASE = "http://127.0.0.1:8700"
HERE, ELSEWHERE = ("127.0.0.1", 4711), ("192.0.2.7", 4711)


@pytest.fixture
def account(open_account: Callable[..., Account], make_images: Callable[..., Path]) -> Account:
    folder = make_images(2)
    return open_account(start=False, input_roots=(str(folder.parent),), api_rpm=100)


class Door:
    """Requests to one app from here and elsewhere, with and without a token."""

    def __init__(self, services: Services, **options: Any) -> None:
        self.services = services
        self.app = make_api(services, **options)

    def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        peer: tuple[str, int] = HERE,
        headers: dict[str, str] | None = None,
        **sent: Any,
    ) -> Any:
        shown = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = TestClient(self.app, BASE, client=peer, raise_server_exceptions=False)
        return client.request(method, path, headers={**shown, **(headers or {})}, **sent)

    def status(self, *request: Any, **options: Any) -> int:
        return int(self.ask(*request, **options).status_code)


@pytest.fixture
def door(account: Account, monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setattr(known_tokens, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(known_tokens, "PAUSE_SECONDS", 0.0)
    return Door(account.services)


SEEDS: Iterator[int] = iter(range(1, 256))


def new_token(
    database: Database, name: str, is_admin: bool = False, read_only: bool = False
) -> str:
    secret = secret_of(bytes([next(SEEDS)]) * 32)
    with database.write() as connection:
        assert tokens.create(connection, name, hashed(secret), is_admin, read_only, None)
    return secret


def new_job(account: Account, folder: Path, owner: str | None) -> str:
    spec = JobSpec(images=[str(folder)], ask="What is there?")
    return submitting.submit(account.services, spec, owner=owner).job_id


def test_who_is_let_in(account, door) -> None:
    lab, gone = (new_token(account.services.database, name) for name in ("lab", "gone"))
    unknown = secret_of(bytes(32))
    assert door.status("GET", "/api/jobs", gone) == 200
    with account.services.database.write() as connection:
        assert tokens.revoke(connection, "gone")
    for peer, token, status in [
        (HERE, None, 200),
        (HERE, lab, 200),
        (HERE, gone, 401),
        (HERE, unknown, 401),
        (HERE, "sk-of-another-endpoint", 200),  # it cannot be ours, and none is needed here
        (ELSEWHERE, None, 401),
        (ELSEWHERE, lab, 200),
        (ELSEWHERE, gone, 401),
        (ELSEWHERE, "sk-of-another-endpoint", 401),
    ]:
        answer = door.ask("GET", "/api/jobs", token, peer)
        assert answer.status_code == status, (peer, token)
        if status == 401:
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
            assert answer.headers["Content-Type"] == "application/problem+json"
    forwarded = {"X-Forwarded-For": "127.0.0.1"}
    assert door.status("GET", "/api/jobs", headers=forwarded) == 401
    assert door.status("GET", "/api/jobs", lab, headers=forwarded) == 200
    assert door.status("GET", "/api/health", peer=ELSEWHERE) == 200
    assert door.status("GET", "/docs", peer=ELSEWHERE) == 200
    assert Door(account.services, elsewhere=True).status("GET", "/api/jobs") == 401


def test_a_token_has_its_own_jobs_and_an_admin_all(account, door, make_images) -> None:
    database, folder = account.services.database, make_images(2)
    lab, shop = new_token(database, "lab"), new_token(database, "shop")
    boss, reader = new_token(database, "boss", is_admin=True), new_token(database, "r", False, True)
    key = {"Idempotency-Key": "monday"}
    asked = {"images": [str(folder)], "ask": "What is there?"}
    made = {t: door.ask("POST", "/api/jobs", t, json=asked, headers=key) for t in (lab, shop)}
    assert {answer.status_code for answer in made.values()} == {201}
    jobs = {token: answer.json()["job"] for token, answer in made.items()}
    assert jobs[lab] != jobs[shop]
    assert door.status("POST", "/api/jobs", lab, json=asked, headers=key) == 200
    assert [row["id"] for row in door.ask("GET", "/api/jobs", lab).json()] == [jobs[lab]]
    assert door.status("GET", "/api/jobs?owner=shop", lab) == 403
    assert len(door.ask("GET", "/api/jobs", boss).json()) == 2
    assert [row["owner"] for row in door.ask("GET", "/api/jobs?owner=shop", boss).json()] == [
        "shop"
    ]
    job = jobs[shop]
    reading = ["", "/images", "/events", "/report", "/export"]
    changing = ["/cancel", "/pause", "/resume", "/retry", "/share"]
    for method, paths in (("GET", reading), ("POST", changing)):
        for path in paths:
            assert door.status(method, f"/api/jobs/{job}{path}", lab) == 404, path
            assert door.status(method, f"/api/jobs/{job}{path}", reader) == 404, path
    assert door.status("POST", f"/api/jobs/{job}/ask", lab, json={"question": "?"}) == 404
    assert door.status("POST", "/api/jobs", reader, json=asked) == 403
    assert door.status("POST", f"/api/jobs/{job}/pause", boss) == 200
    assert door.ask("GET", f"/api/jobs/{job}", shop).json()["owner"] == "shop"


@on_one_database
def test_paths_outside_the_input_roots_are_refused_to_everybody(account, door) -> None:
    boss = new_token(account.services.database, "boss", is_admin=True)
    asked = {"images": [str(Path(__file__).parent)], "ask": "?"}
    for token in (None, boss):
        answer = door.ask("POST", "/api/jobs", token, json=asked)
        assert answer.status_code == 403, answer.text
        assert "OVERSTORY_INPUT_ROOTS" in answer.json()["detail"]


@on_one_database
@pytest.mark.parametrize(
    ("sent", "headers"),
    [
        ({"data": {"ask": "?"}}, {}),  # a form
        ({"content": b'{"images": ["/"], "ask": "?"}'}, {"Content-Type": "text/plain"}),
        ({"content": b""}, {"Content-Type": "application/json"}),
    ],
)
def test_a_page_elsewhere_cannot_submit_to_this_machine(door, sent, headers) -> None:
    origins = {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}
    for origin in (*origins, {"Origin": "null"}, {"Host": "evil.example:8700"}):
        answer = door.ask("POST", "/api/jobs", headers={**headers, **origin}, **sent)
        assert answer.status_code in (403, 421)
        assert "access-control-allow-origin" not in answer.headers
    client = TestClient(door.app, BASE, client=HERE)
    for path in ("/api/jobs", "/"):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(path):
            pass


def rows(database: Database) -> list[Any]:
    with database.read() as connection:
        return [
            connection.execute(select(*table.columns).order_by(*table.primary_key)).all()
            for table in Base.metadata.sorted_tables
        ]


@on_one_database
def test_a_get_has_no_effect(account, door, make_images) -> None:
    """An image or a link of a page elsewhere can send one."""
    job = new_job(account, make_images(2), None)
    with account.services.database.write() as connection:
        state.job_cancelled(connection, job, Moved())
    before = rows(account.services.database)
    paths = door.app.openapi()["paths"]
    values = {"job": job, "model": account.services.settings.model, "position": 1, "secret": "x"}
    gets = [path.format(**values) for path, methods in paths.items() if "get" in methods]
    assert len(gets) >= 8
    assert all(door.status("GET", path) in (200, 404, 422) for path in gets)
    assert rows(account.services.database) == before


@on_one_database
def test_replies_have_headers_against_foreign_pages(door) -> None:
    for path in ("/api/jobs", "/api/jobs/nothing", "/docs"):
        headers = door.ask("GET", path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
    assert (
        door.ask("GET", "/api/jobs")
        .headers["Content-Security-Policy"]
        .startswith("default-src 'none'")
    )


@on_one_database
def test_the_description_says_that_a_token_may_be_needed(door) -> None:
    described = door.ask("GET", "/openapi.json", peer=ELSEWHERE).json()
    assert described["security"] == [{"token": []}, {}]
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


@on_one_database
def test_bodies_and_rates_have_bounds(account, door, monkeypatch) -> None:
    monkeypatch.setattr(guard, "Rates", lambda most: Rates(most, lambda: 0.0))  # no time passes
    lab = new_token(account.services.database, "lab")
    much = b" " * (account.services.settings.api_body_bytes + 1)
    json = {"Content-Type": "application/json"}

    def chunks() -> Iterator[bytes]:
        yield from (much[:5_000_000] for _ in range(5))

    for content in (much, chunks()):  # with a length, and without one
        answer = door.ask("POST", "/api/jobs", content=content, headers=json)
        assert answer.status_code == 413
        assert answer.headers["Connection"] == "close"
        assert answer.headers["Content-Type"] == "application/problem+json"
    shown = {"token": "x" * 10_000}
    assert door.status("POST", "/api/session", json=shown) == 422
    assert door.status("POST", "/api/session", peer=ELSEWHERE, json=shown) == 413
    answers = [door.ask("GET", "/api/session", lab) for _ in range(101)]
    assert {answer.status_code for answer in answers[:100]} == {200}
    assert answers[100].status_code == 429
    assert answers[100].headers["Retry-After"] == "1"
    assert door.status("GET", "/api/session") == 200  # this machine has no such bound


def test_a_browser_shows_a_token_once_and_a_cookie_afterwards(account, door) -> None:
    database = account.services.database
    lab = new_token(database, "lab", read_only=True)
    browser = TestClient(door.app, BASE, client=ELSEWHERE, headers={"Origin": BASE})
    assert browser.get("/api/session").json() == {
        "name": None, "is_admin": False, "read_only": True, "needs_token": True
    }  # fmt: skip
    assert browser.post("/api/session", json={"token": secret_of(bytes(32))}).status_code == 401
    shown = browser.post("/api/session", json={"token": lab})
    assert shown.json() == {
        "name": "lab", "is_admin": False, "read_only": True, "needs_token": False
    }  # fmt: skip
    cookie = shown.headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert "Secure" not in cookie
    assert lab not in cookie
    assert browser.get("/api/jobs").status_code == 200
    assert browser.get("/api/session").json()["name"] == "lab"
    left = {**browser.cookies}
    assert browser.delete("/api/session").json()["needs_token"]
    for jar in ({}, left):  # a copy of the cookie holds no more either
        again = TestClient(door.app, BASE, client=ELSEWHERE, cookies=jar)
        assert again.get("/api/jobs").status_code == 401
    secure = {"Origin": "https://127.0.0.1:8700"}
    shown = browser.post("/api/session", json={"token": lab}, headers=secure)
    assert "Secure" in shown.headers["Set-Cookie"]


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_session_ends_with_its_token_and_its_time(account, door, end) -> None:
    database = account.services.database
    lab = new_token(database, "lab")
    browser = TestClient(door.app, BASE, client=ELSEWHERE)
    assert browser.post("/api/session", json={"token": lab}).status_code == 200
    assert browser.get("/api/jobs").status_code == 200
    with database.write() as connection:
        if end == "revoked":
            tokens.revoke(connection, "lab")
        else:
            connection.execute(update(Session).values(expires_at=1.0))
    assert browser.get("/api/jobs").status_code == 401


@on_one_database
def test_a_stream_ends_when_its_token_is_revoked(account, door, make_images) -> None:
    """The events of a job go on as long as the job does, so the guard asks again."""
    lab = new_token(account.services.database, "lab")
    job = new_job(account, make_images(2), "lab")
    with account.services.database.write() as connection:
        tokens.revoke(connection, "lab")

    class Once(known_tokens.KnownTokens):
        asked = 0

        async def caller(self, secret: str) -> Any:
            self.asked += 1
            return known_tokens.Caller("lab", False) if self.asked == 1 else None

    door.app.user_middleware[0].kwargs["known"] = Once(account.services.database)
    answer = door.ask("GET", f"/api/jobs/{job}/events", lab)
    assert answer.status_code == 200
    assert answer.text == ""


def test_a_link_shows_the_report_to_anybody_and_nothing_else(account, door, make_images) -> None:
    database = account.services.database
    lab, reader = new_token(database, "lab"), new_token(database, "reader", True, True)
    job = new_job(account, make_images(2), "lab")
    assert door.status("POST", f"/api/jobs/{job}/share", reader) == 403
    made = door.ask("POST", f"/api/jobs/{job}/share", lab, json={"days": 3})
    assert made.status_code == 201
    url = made.json()["url"]
    assert url.startswith(f"{BASE}/shared/ovs_")
    assert made.json()["expires_at"] == pytest.approx(time.time() + 3 * 86_400, abs=60)
    path = url.removeprefix(BASE)
    shown = door.ask("GET", path, peer=ELSEWHERE)
    assert shown.status_code == 200
    assert "What is there?" in shown.text
    assert shown.headers["X-Robots-Tag"] == "noindex, nofollow"
    secret = path.removeprefix("/shared/")
    assert door.status("GET", f"/api/jobs/{job}", secret, ELSEWHERE) == 401  # not a token
    assert door.status("POST", path, peer=ELSEWHERE) == 405
    assert door.status("GET", "/shared/nothing", peer=ELSEWHERE) == 404
    with database.write() as connection:
        connection.execute(update(Share).values(expires_at=time.time() - 1.0))
    expired = door.ask("GET", path, peer=ELSEWHERE)
    assert (expired.status_code, "has expired" in expired.text) == (410, True)
    assert door.ask("DELETE", f"/api/jobs/{job}/share", lab).json() == {"job": job, "links": 1}
    gone = door.ask("GET", path, peer=ELSEWHERE)
    assert (gone.status_code, "leads nowhere" in gone.text) == (404, True)
    assert door.status("POST", f"/api/jobs/{job}/share", lab, json={"days": 0}) == 422
