"""JSON replies as a bad model writes them: gaps, false totals, words around the object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from overstory.sandbox.answers.observation import INVENTED_MARKER, Observation
from overstory.sandbox.config import SandboxConfig

FALSE_TOTAL = 987_654
FENCED = "Here is the answer:\n```json\n{}\n```\nI hope this helps."


def told(value: Any, sights: Sequence[Observation], config: SandboxConfig) -> str:
    """``value`` as JSON, with the faults that are set."""
    if isinstance(value, dict):
        value = _with_gaps(value, sights, config)
        if config.false_totals:
            value = _with_lies(value)
    text = json.dumps(value, ensure_ascii=False)
    return FENCED.replace("{}", text) if config.code_fences else text


def _with_gaps(
    value: dict[str, Any], sights: Sequence[Observation], config: SandboxConfig
) -> dict[str, Any]:
    numbered = [key for key in value if key.isdecimal()]
    hidden = {str(s.marker) for s in sights if s.colour and s.colour == config.missing_colour}
    gone = hidden.intersection(numbered)
    if config.missing_keys < len(numbered):
        gone |= set(numbered[len(numbered) - config.missing_keys :])
    return {key: each for key, each in value.items() if key not in gone}


def _with_lies(value: dict[str, Any]) -> dict[str, Any]:
    """Answers for images that were never sent, totals beside what was asked, numbers in words."""
    numbered = [key for key in value if key.isdecimal()]
    extra = {str(INVENTED_MARKER): value[numbered[0]]} if numbered else {}
    kept = {key: _claiming(each) if not key.isdecimal() else each for key, each in value.items()}
    return {**extra, **kept, "total": FALSE_TOTAL, "count": FALSE_TOTAL, "images": FALSE_TOTAL}


def _claiming(value: Any) -> Any:
    """Every text about the whole set claims a total, and every object has one more."""
    if isinstance(value, str):
        return f"There are {FALSE_TOTAL} in total. {value}"
    if isinstance(value, dict):
        return {name: _claiming(each) for name, each in value.items()} | {"total": FALSE_TOTAL}
    return value
