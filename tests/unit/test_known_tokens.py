"""Tokens are read for many requests at once, and strangers keep nobody waiting."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from core.access import hashed
from overstory.api import known_tokens
from overstory.api.caller import Caller
from overstory.api.known_tokens import FRESH_SECONDS, KnownTokens

LAB, SHOP = Caller("lab", is_admin=False), Caller("shop", is_admin=False)


class Kept(KnownTokens):
    """Tokens in a dictionary instead of a database, and a clock that stands."""

    def __init__(self, **callers: Caller) -> None:
        super().__init__(cast(Any, None), lambda: self.at)
        self.at = 1_000.0
        self.reads = 0
        self.callers = callers

    def _read(self) -> dict[str, Caller]:
        self.reads += 1
        return {hashed(secret): caller for secret, caller in self.callers.items()}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_tokens, "PAUSE_SECONDS", 0.0)


def test_a_read_serves_all_requests_until_it_is_old() -> None:
    async def go() -> None:
        known = Kept(a=LAB)
        assert await asyncio.gather(*(known.caller("a") for _ in range(50))) == [LAB] * 50
        assert known.reads == 1
        known.at += FRESH_SECONDS
        del known.callers["a"]
        assert await known.caller("a") == LAB
        known.at += 0.001
        assert await known.caller("a") is None  # revoked

    asyncio.run(go())


def test_a_new_token_is_found_at_once() -> None:
    async def go() -> None:
        known = Kept(a=LAB)
        assert await known.caller("a") == LAB
        known.callers["b"] = SHOP
        known.at += 0.001
        assert await known.caller("b") == SHOP
        assert known.reads == 2

    asyncio.run(go())


def test_unknown_secrets_share_a_read_and_known_ones_do_not_wait_for_it(monkeypatch) -> None:
    async def go() -> None:
        known = Kept(a=LAB)
        assert await known.caller("a") == LAB
        monkeypatch.setattr(known_tokens, "PAUSE_SECONDS", 3_600.0)
        known.at += 0.001
        strangers = [asyncio.create_task(known.caller(f"x{n}")) for n in range(50)]
        async with asyncio.timeout(30):
            await asyncio.sleep(0)
            assert [await known.caller("a") for _ in range(50)] == [LAB] * 50
        assert not any(stranger.done() for stranger in strangers)
        assert known.reads == 1
        for stranger in strangers:
            stranger.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)

    asyncio.run(go())
