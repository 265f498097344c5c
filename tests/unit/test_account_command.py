"""``overstory account`` when the limiter's server does not answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import ServiceAway
from core.settings import load
from overstory.commands import account


def services(**settings: str) -> Any:
    def away() -> None:
        raise ServiceAway("Redis does not answer")

    return SimpleNamespace(settings=load(**settings), limiter=SimpleNamespace(state=away))


@pytest.mark.parametrize("name", ["broker_url", "limiter_url"])
def test_an_unreachable_limiter_server_is_reported(name: str) -> None:
    with pytest.raises(ServiceAway, match=f"correct OVERSTORY_{name.upper()}"):
        account._state(services(**{name: "redis://127.0.0.1:1/0"}))


def test_without_a_stack_nothing_is_in_flight() -> None:
    assert account._state(services()) is None
