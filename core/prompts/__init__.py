"""Prompts: texts a person can read, filled in by functions of values.

Images come first and the instruction last, as the provider advises. What comes from a model or an
image is data: it stands between delimiters that it cannot close. A leaf numbers its images from 1
whatever their place in the job, so that the same leaf in another job is the same request.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from string import Template
from types import MappingProxyType
from typing import Any, Literal

from core.catalog.tokens import Detail

TEXTS = (
    *("system", "direct", "followup", "leaf", "branch", "root"),
    *("nudge_citation", "nudge_length"),
    *("each", "record", "also_answer", "also_words", "schema", "words", "totals"),
    *("nudge_missing", "nudge_form", "nudge_figure"),
)
Nudge = Literal["citation", "length", "missing", "form", "figure"]
Message = dict[str, Any]
Own = Mapping[str, str]
"""Texts of a job's own, by name, in the place of ours (core.prompts.own checks them)."""
OURS: Own = MappingProxyType({})
_FRAME = re.compile(r"<(\s*/?\s*(?:notes|question)\b)", re.IGNORECASE)
"""Our delimiters in any spelling a model might take for them."""


@cache
def text(name: str) -> str:
    """The prompt called ``name``, one of TEXTS."""
    return (resources.files(__package__) / f"{name}.txt").read_text("utf-8").strip()


@cache
def version() -> str:
    """Short hash of all texts: notes that other texts asked for are not taken over."""
    joined = "\0".join(f"{name}\0{text(name)}" for name in TEXTS)
    return hashlib.sha256(joined.encode()).hexdigest()[:12]


def look(
    urls: Sequence[str],
    detail: Detail,
    question: str,
    whole: bool,
    nudges: Sequence[Nudge] = (),
    own: Own = OURS,
) -> list[Message]:
    """Messages that show ``urls`` and ask: the person's question (``whole``), or notes for it."""
    parts: list[Message] = [
        {"type": "image_url", "image_url": {"url": url, "detail": detail}} for url in urls
    ]
    instruction = look_instruction(len(urls), question, whole, nudges, own)
    return [
        system(own),
        {"role": "user", "content": [*parts, {"type": "text", "text": instruction}]},
    ]


def converse(
    shown: Sequence[Message],
    exchanges: Sequence[tuple[str, str]],
    question: str,
    nudges: Sequence[Nudge] = (),
    own: Own = OURS,
) -> list[Message]:
    """``shown``, the messages that asked the first question, word for word, so that the provider
    finds its cache; then each answer and the question after it. ``exchanges``: (question, answer),
    the first question being that of ``shown``."""
    messages = list(shown)
    questions = [*(asked for asked, _ in exchanges[1:]), question]
    for number, ((_, answer), following) in enumerate(zip(exchanges, questions, strict=True), 1):
        filled = Template(said("followup", own)).substitute(question=inside(following))
        last = number == len(exchanges)
        messages += [
            {"role": "assistant", "content": answer},
            {"role": "user", "content": with_nudges(filled, nudges if last else (), own)},
        ]
    return messages


def in_context(question: str, exchanges: Sequence[tuple[str, str]], answers: bool) -> str:
    """``question`` with what was asked before it (and answered), for a request that cannot show
    the conversation itself."""
    if not exchanges:
        return question
    lines = ["Asked before:"]
    for asked, answer in exchanges:
        lines.append(f"- {asked}")
        if answers:
            lines.append(f"  Answered: {answer}")
    return "\n".join([*lines, "Asked now:", question])


def look_instruction(
    count: int, question: str, whole: bool, nudges: Sequence[Nudge] = (), own: Own = OURS
) -> str:
    filled = Template(said("direct" if whole else "leaf", own)).substitute(
        these=numbered(count), question=inside(question)
    )
    return with_nudges(filled, nudges, own)


def numbered(count: int) -> str:
    """How the images above are numbered."""
    if count == 1:
        return "The image above is numbered [1]."
    return f"The {count} images above are numbered [1] to [{count}], in the order given."


def read(
    notes: Sequence[str],
    images: int,
    question: str,
    whole: bool,
    nudges: Sequence[Nudge] = (),
    own: Own = OURS,
) -> list[Message]:
    """Messages that give ``notes`` on ``images`` images and ask for an answer or a summary."""
    filled = Template(said("root" if whole else "branch", own)).substitute(
        count=images, notes="\n\n".join(map(inside, notes)), question=inside(question)
    )
    return [system(own), {"role": "user", "content": with_nudges(filled, nudges, own)}]


def said(name: str, own: Own) -> str:
    """The prompt called ``name``, in the job's own words where it has some."""
    return own[name] if name in own else text(name)


def system(own: Own = OURS) -> Message:
    return {"role": "system", "content": said("system", own)}


def with_nudges(filled: str, nudges: Sequence[Nudge], own: Own = OURS) -> str:
    return "\n\n".join([filled, *(said(f"nudge_{each}", own) for each in dict.fromkeys(nudges))])


def inside(words: str) -> str:
    """``words`` with our delimiters defused, so that no text can step out of its frame."""
    return _FRAME.sub(r"‹\1", words)
