"""Rate-limit headers as values."""

from __future__ import annotations

import pytest

from clients.provider.allowances import allowances
from core.account.allowance import Allowance
from core.errors import LimitKind

RPM, TPM = LimitKind.RPM, LimitKind.TPM


def x_ratelimit(kind: str, limit: str, remaining: str, reset: str) -> dict[str, str]:
    names = ("limit", "remaining", "reset")
    values = (limit, remaining, reset)
    return {f"x-ratelimit-{name}-{kind}": value for name, value in zip(names, values, strict=True)}


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, []),
        ({"x-ratelimit-limit-requests": "many"}, []),
        (x_ratelimit("requests", "60", "59", "1s"), [Allowance(RPM, 60, 59, 1.0)]),
        (x_ratelimit("tokens", "150000", "0", "6m0s"), [Allowance(TPM, 150_000, 0, 360.0)]),
        (x_ratelimit("tokens", "1", "1", "12ms"), [Allowance(TPM, 1, 1, 0.012)]),
        (
            x_ratelimit("requests", "14400", "14370", "2m59.56s"),
            [Allowance(RPM, 14_400, 14_370, 179.56)],
        ),
        (x_ratelimit("requests", "9", "8", "soon"), [Allowance(RPM, 9, 8, None)]),
        ({"x-ratelimit-remaining-requests": "3"}, [Allowance(RPM, None, 3, None)]),
        (
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-11-29T12:00:30Z",
                "date": "Sun, 29 Nov 2026 12:00:00 GMT",
            },
            [Allowance(RPM, 50, 0, 30.0)],
        ),
    ],
)
def test_headers_are_read(headers: dict[str, str], found: list[Allowance]) -> None:
    assert allowances(headers) == found


@pytest.mark.parametrize(
    ("allowance", "limit", "hold"),
    [
        (Allowance(RPM, 60, 59, 1.0), 60, 0.0),
        (Allowance(RPM, 60, None, None), 60, 0.0),
        (Allowance(RPM, None, 0, 7.0), None, 7.0),
        (Allowance(RPM, 60, 0, 60.0), 60, 60.0),
        (Allowance(RPM, 60, 0, None), 60, 0.0),
        (Allowance(RPM, 14_400, 14_370, 179.56), None, 0.0),  # of a day
        (Allowance(RPM, 14_400, 0, 3_600.0), None, 60.0),
        (Allowance(RPM, 10, 9, 0.1), None, 0.0),  # of a second
        (Allowance(RPM, 0, 0, 1.0), None, 1.0),
    ],
)
def test_a_limit_of_a_minute_applies_and_nothing_left_holds(
    allowance: Allowance, limit: int | None, hold: float
) -> None:
    assert (allowance.a_minute, allowance.hold_seconds) == (limit, hold)
