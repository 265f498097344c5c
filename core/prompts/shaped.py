"""Prompts for replies in JSON: keyed by image number, or as texts about the whole set."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from string import Template
from typing import Any

from core.catalog.tokens import Detail
from core.prompts import OURS, Message, Nudge, Own, inside, numbered, said, system, with_nudges

_FRAME = re.compile(r"<(\s*/?\s*(?:schema|totals)\b)", re.IGNORECASE)
KINDS = {True: ", an object that follows the JSON schema", False: ", as one text"}


def each_instruction(
    count: int,
    question: str,
    *,
    records: bool,
    objects: bool,
    also: str,
    schema: Any,
    own: Own = OURS,
) -> str:
    """What stands under the images: an answer for each (``records``: a part of the whole's).

    ``also`` asks for something about all of them; ``schema`` is written out where it is given.
    """
    keys = '"1"' if count == 1 else f'"1" to "{count}"'
    filled = Template(said("record" if records else "each", own)).substitute(
        these=numbered(count), question=framed(question), keys=keys, kind=KINDS[objects]
    )
    return "\n\n".join(part for part in (filled, also, _schema(schema, own)) if part)


def also_answer(question: str, own: Own = OURS) -> str:
    return Template(said("also_answer", own)).substitute(question=framed(question))


def also_words(names: Sequence[str], own: Own = OURS) -> str:
    return Template(said("also_words", own)).substitute(names=framed(", ".join(names)))


def each(
    urls: Sequence[str],
    detail: Detail,
    instruction: str,
    nudges: Sequence[Nudge],
    own: Own = OURS,
) -> list[Message]:
    """Messages that show ``urls`` and give the instruction last."""
    parts: list[Message] = [
        {"type": "image_url", "image_url": {"url": url, "detail": detail}} for url in urls
    ]
    words = {"type": "text", "text": with_nudges(instruction, nudges, own)}
    return [system(own), {"role": "user", "content": [*parts, words]}]


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
    """Messages over notes that ask for the texts called ``names``, given what code computed."""
    filled = Template(said("words", own)).substitute(
        count=images,
        notes="\n\n".join(map(framed, notes)),
        question=framed(question),
        totals=totals(computed, own),
        names=framed(", ".join(names)),
    )
    asked = "\n\n".join(part for part in (filled, _schema(schema, own)) if part)
    return [system(own), {"role": "user", "content": with_nudges(asked, nudges, own)}]


def totals(computed: Any, own: Own = OURS) -> str:
    return Template(said("totals", own)).substitute(totals=_json(computed))


def framed(words: str) -> str:
    """``words`` with all our delimiters defused."""
    return _FRAME.sub(r"‹\1", inside(words))


def _schema(schema: Any, own: Own) -> str:
    if schema is None:
        return ""
    return Template(said("schema", own)).substitute(schema=_json(schema))


def _json(value: Any) -> str:
    """JSON that cannot close the frame it stands in."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
