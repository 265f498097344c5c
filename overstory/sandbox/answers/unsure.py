"""A model that cannot make out small, dim pictures, and says so where the request asks for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from overstory.sandbox.answers.observation import Observation
from overstory.sandbox.config import SandboxConfig

KEY = "unclear"
_ASKS_MARK = re.compile(r"begin the line of that image with \?")
_ASKS_LIST = re.compile(rf'the key "{KEY}"')
DIM = frozenset({"dim", "dark"})


def is_asked(instruction: str) -> bool:
    """Whether the model is to mark what it cannot make out."""
    return bool(_ASKS_MARK.search(instruction) or _ASKS_LIST.search(instruction))


def marked(
    observations: Sequence[Observation], model: str, config: SandboxConfig
) -> tuple[Observation, ...]:
    """``observations``; of those that are too small and dim for ``model`` the colour is a guess."""
    if model in config.sharp_models:
        return tuple(observations)
    return tuple(_guess(one) if _is_unsure(one, config) else one for one in observations)


def _is_unsure(one: Observation, config: SandboxConfig) -> bool:
    sizes = dict(one.numbers)
    side = max(sizes.get("width", 0.0), sizes.get("height", 0.0))
    return one.says is None and 0 < side < config.unsure_below_px and one.light in DIM


def _guess(one: Observation) -> Observation:
    words = ("grey", *one.words[1:])
    return replace(one, words=words, line=f"? {one.light}, hard to tell", unsure=True)


def unclear_entries(value: dict[str, Any], observations: Sequence[Observation]) -> list[Any]:
    """The list under KEY: each unsure image that ``value`` answers for, with its first field."""
    entries = []
    for one in observations:
        answer = value.get(str(one.marker))
        if one.unsure and answer is not None:
            fields = list(answer)[:1] if isinstance(answer, dict) else []
            entries.append({"image": one.marker, "fields": fields})
    return entries
