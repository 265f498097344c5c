"""Prompts for JSON replies: by image number, or with texts about the whole set."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from core.prompts import (
    OPENING,
    OURS,
    Message,
    Nudge,
    Own,
    canaries,
    fill,
    inside,
    numbered,
    show,
    tell,
    text_of,
)

_FRAME = re.compile(OPENING + r"(?:schema|totals)\b)", re.IGNORECASE)
KINDS = {True: ", an object that follows the JSON schema", False: ", as one text"}


def each_instruction(
    count: int,
    question: str,
    *,
    records: bool,
    objects: bool,
    also: str,
    schema: Any,
    words: Sequence[int] = (),
    own: Own = OURS,
) -> str:
    """The instruction under the images: an answer per image, or ``records`` to merge.

    ``also``: a further instruction about all images; ``schema``: written out unless None;
    ``words``: the numbers of canaries.
    """
    filled = fill(
        "record" if records else "each",
        own,
        these=numbered(count),
        question=framed(question),
        keys='"1"' if count == 1 else f'"1" to "{count}"',
        kind=KINDS[objects],
    )
    parts = (filled, canaries(words, own), also, _schema(schema, own))
    return "\n\n".join(part for part in parts if part)


def units_instruction(
    count: int,
    question: str,
    groups: Sequence[Sequence[int]],
    *,
    objects: bool,
    schema: Any,
    words: Sequence[int] = (),
    own: Own = OURS,
) -> str:
    """The instruction under the images of several units; ``groups``: the numbers of the images of
    each. The other arguments are those of ``each_instruction``."""
    named = [f'"{group_key(n)}" is {_images(group)}' for n, group in enumerate(groups, 1)]
    last = group_key(len(groups))
    filled = fill(
        "units",
        own,
        these=numbered(count),
        question=framed(question),
        count=len(groups),
        groups="; ".join(named),
        keys='"1"' if count == 1 else f'"1" to "{count}"',
        group_keys=f'"{last}"' if len(groups) == 1 else f'"{group_key(1)}" to "{last}"',
        kind=KINDS[objects],
    )
    parts = (filled, canaries(words, own), _schema(schema, own))
    return "\n\n".join(part for part in parts if part)


def group_key(number: int) -> str:
    """The key of a unit in a reply; ``number`` counts the units of the request from 1."""
    return f"group {number}"


def _images(numbers: Sequence[int]) -> str:
    """``image [3]`` or ``images [3], [5] to [8]``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"[{run[0]}]" if len(run) == 1 else f"[{run[0]}] to [{run[-1]}]" for run in runs]
    return f"{'image' if len(numbers) == 1 else 'images'} {', '.join(texts)}"


def also_answer(question: str, own: Own = OURS) -> str:
    return fill("also_answer", own, question=framed(question))


def unclear(own: Own = OURS) -> str:
    return text_of("unclear", own)


def also_words(names: Sequence[str], own: Own = OURS) -> str:
    return fill("also_words", own, names=framed(", ".join(names)))


each = show


def words(
    notes: Sequence[str],
    images: int,
    question: str,
    names: Sequence[str],
    computed: Any,
    schema: Any,
    nudges: Sequence[Nudge],
    own: Own = OURS,
) -> list[Message]:
    """Messages with notes that ask for the texts ``names``; code has ``computed`` the rest."""
    filled = fill(
        "words",
        own,
        count=images,
        notes="\n\n".join(map(framed, notes)),
        question=framed(question),
        totals=totals(computed, own),
        names=framed(", ".join(names)),
    )
    asked = "\n\n".join(part for part in (filled, _schema(schema, own)) if part)
    return tell(asked, nudges, own)


def totals(computed: Any, own: Own = OURS) -> str:
    return fill("totals", own, totals=_json(computed))


def framed(content: str) -> str:
    """``content`` with all our delimiters made harmless."""
    return _FRAME.sub(r"(\1", inside(content))


def _schema(schema: Any, own: Own) -> str:
    return "" if schema is None else fill("schema", own, schema=_json(schema))


def _json(value: Any) -> str:
    """JSON that cannot close the frame around it."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
