"""JSON replies as a bad model writes them: missing keys, false totals, text around the object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from overstory.sandbox.answers.observation import INVENTED_MARKER, Observation
from overstory.sandbox.config import SandboxConfig

FALSE_TOTAL = 987_654
FENCED = "Here is the answer:\n```json\n{}\n```\nI hope this helps."


def reply_text(value: Any, observations: Sequence[Observation], config: SandboxConfig) -> str:
    """``value`` as JSON, with the faults that the config turns on."""
    if isinstance(value, dict):
        value = _without_missing(value, observations, config)
        if config.false_totals:
            value = _with_false_totals(value)
    text = json.dumps(value, ensure_ascii=False)
    return FENCED.replace("{}", text) if config.code_fences else text


def _without_missing(
    value: dict[str, Any], observations: Sequence[Observation], config: SandboxConfig
) -> dict[str, Any]:
    numbered = [key for key in value if key.isdecimal()]
    colour = config.missing_colour
    missing = {str(o.marker) for o in observations if colour and o.colour == colour}
    if config.missing_keys < len(numbered):
        missing |= set(numbered[len(numbered) - config.missing_keys :])
    return {key: part for key, part in value.items() if key not in missing.intersection(numbered)}


def _with_false_totals(value: dict[str, Any]) -> dict[str, Any]:
    """Adds an answer for an image that was never sent, and totals as keys and inside texts."""
    first = next((key for key in value if key.isdecimal()), None)
    invented = {} if first is None else {str(INVENTED_MARKER): value[first]}
    claimed = {k: part if k.isdecimal() else _claim_total(part) for k, part in value.items()}
    return invented | claimed | dict.fromkeys(("total", "count", "images"), FALSE_TOTAL)


def _claim_total(value: Any) -> Any:
    """Puts a total into every text, and one more into every object."""
    if isinstance(value, str):
        return f"There are {FALSE_TOTAL} in total. {value}"
    if isinstance(value, dict):
        return {key: _claim_total(part) for key, part in value.items()} | {"total": FALSE_TOTAL}
    return value
