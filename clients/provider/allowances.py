"""Reads rate-limit headers. Sources: the API references of OpenAI, Groq, Azure and Anthropic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from core.account.allowance import Allowance
from core.errors import LimitKind

_NAMES = (
    (LimitKind.RPM, "x-ratelimit-{}-requests"),
    (LimitKind.TPM, "x-ratelimit-{}-tokens"),
    (LimitKind.RPM, "anthropic-ratelimit-requests-{}"),
    (LimitKind.TPM, "anthropic-ratelimit-tokens-{}"),
)
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def allowances(headers: Mapping[str, str]) -> list[Allowance]:
    """What the headers of a response say; empty for most endpoints."""
    found = []
    for kind, name in _NAMES:
        limit, remaining = (_number(headers.get(name.format(w))) for w in ("limit", "remaining"))
        if limit is not None or remaining is not None:
            reset = _seconds(headers.get(name.format("reset"), ""), headers.get("date", ""))
            found.append(Allowance(kind, limit, remaining, reset))
    return found


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,15}", text.strip()) else None


def _seconds(text: str, date: str) -> float | None:
    """Seconds of ``6m0s``, ``12ms`` or ``30``, or until a time such as 2026-11-29T12:00:00Z, by the
    response's own Date."""
    text = text.strip()
    if re.fullmatch(r"\d{1,6}(\.\d{1,9})?", text):
        return float(text)
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        now = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return max(0.0, (datetime.fromisoformat(text) - now).total_seconds())
    except (ValueError, TypeError):
        return None
