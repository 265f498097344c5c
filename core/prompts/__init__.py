"""Prompts: readable text files, filled in by functions of values.

Images come first, each after its number, and the instruction last, as the provider advises. Text
from a model or a user is data: it stands between delimiters that it cannot close. A leaf numbers
its images from 1 whatever their position in the job, so that the same leaf in another job is the
same request.
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

FIRST_TEXTS = (
    *("system", "label", "direct", "lines", "followup", "leaf", "branch", "root", "canary"),
    *("nudge_citation", "nudge_length", "nudge_line"),
    *("each", "record", "also_answer", "also_words", "schema", "words", "totals"),
    *("nudge_missing", "nudge_form", "nudge_figure"),
)
SECOND_TEXTS = ("unclear", "unclear_line")
"""Texts of jobs that look twice alone: a change of them changes no other job's version."""
FACTS_TEXTS = ("facts",)
"""The same for jobs that show facts beside images."""
UNIT_TEXTS = ("units",)
"""The same of jobs by units."""
TEXTS = (*FIRST_TEXTS, *SECOND_TEXTS, *FACTS_TEXTS, *UNIT_TEXTS)
Nudge = Literal["citation", "length", "line", "missing", "form", "figure"]
Message = dict[str, Any]
Own = Mapping[str, str]
"""The job's own texts by name; they replace ours (core.prompts.own checks them)."""
OURS: Own = MappingProxyType({})
_GAP = r"[\s\u200b-\u200f\u2060\ufeff]{0,20}"
OPENING = rf"(?:[<＜‹〈﹤«˂ᐸ]|&lt;?|&#0*60;?|\\u003c)({_GAP}[/／⁄]?{_GAP}"
"""How a delimiter may begin, in every spelling that a model could take for it."""
_FRAME = re.compile(OPENING + r"(?:notes|question)\b)", re.IGNORECASE)


@cache
def text(name: str) -> str:
    """The prompt called ``name``, one of TEXTS."""
    return (resources.files(__package__) / f"{name}.txt").read_text("utf-8").strip()


@cache
def version(looks_twice: bool = False, shows_facts: bool = False, by_units: bool = False) -> str:
    """Short hash of all texts of a job: notes from other texts are not reused."""
    names = FIRST_TEXTS + SECOND_TEXTS * looks_twice
    names += FACTS_TEXTS * shows_facts + UNIT_TEXTS * by_units
    joined = "\0".join(f"{name}\0{text(name)}" for name in names)
    return hashlib.sha256(joined.encode()).hexdigest()[:12]


def look(
    urls: Sequence[str],
    detail: Detail,
    question: str,
    is_root: bool,
    nudges: Sequence[Nudge] = (),
    *,
    with_lines: bool = False,
    words: Sequence[int] = (),
    marks: bool = False,
    own: Own = OURS,
) -> list[Message]:
    """Messages that show ``urls`` and ask the user's question (``is_root``), or notes for it.

    ``with_lines``: the question is answered below a line for each image. ``words``: the numbers of
    canaries. ``marks``: the line of an unclear image is to have a mark.
    """
    name = "direct" if is_root else "leaf"
    parts = [
        fill(name, own, these=numbered(len(urls)), question=inside(question)),
        canaries(words, own),
        text_of("lines", own) if with_lines else "",
        text_of("unclear_line", own) if marks else "",
    ]
    return show(urls, detail, "\n\n".join(part for part in parts if part), nudges, own)


def canaries(words: Sequence[int], own: Own = OURS) -> str:
    """What is asked of the images that show nothing but a word; ``words``: their numbers."""
    numbers = ", ".join(f"[{number}]" for number in words)
    return fill("canary", own, numbers=numbers) if words else ""


def show(
    urls: Sequence[str], detail: Detail, instruction: str, nudges: Sequence[Nudge], own: Own = OURS
) -> list[Message]:
    """Messages with the images first, each after its number, and ``instruction`` last."""
    parts: list[dict[str, Any]] = []
    for number, url in enumerate(urls, start=1):
        parts.append({"type": "text", "text": fill("label", own, number=number)})
        parts.append({"type": "image_url", "image_url": {"url": url, "detail": detail}})
    parts.append({"type": "text", "text": with_nudges(instruction, nudges, own)})
    return [_system(own), {"role": "user", "content": parts}]


def tell(instruction: str, nudges: Sequence[Nudge], own: Own) -> list[Message]:
    """Messages without images."""
    return [_system(own), {"role": "user", "content": with_nudges(instruction, nudges, own)}]


def converse(
    shown: Sequence[Message],
    exchanges: Sequence[tuple[str, str]],
    question: str,
    nudges: Sequence[Nudge] = (),
    own: Own = OURS,
) -> list[Message]:
    """``shown`` (the messages that asked the first question, unchanged, to hit the provider's
    cache), then each answer and the question after it. ``exchanges``: (question, answer); the first
    question is that of ``shown``."""
    conversation = list(shown)
    questions = [*(asked for asked, _ in exchanges[1:]), question]
    for number, ((_, answer), following) in enumerate(zip(exchanges, questions, strict=True), 1):
        filled = fill("followup", own, question=inside(following))
        is_last = number == len(exchanges)
        conversation += [
            {"role": "assistant", "content": answer},
            {"role": "user", "content": with_nudges(filled, nudges if is_last else (), own)},
        ]
    return conversation


def in_context(question: str, exchanges: Sequence[tuple[str, str]], answers: bool) -> str:
    """``question`` after the earlier questions (and ``answers``), for a request that cannot repeat
    the conversation."""
    if not exchanges:
        return question
    lines = ["Asked before:"]
    for asked, answer in exchanges:
        lines.append(f"- {asked}")
        if answers:
            lines.append(f"  Answered: {answer}")
    return "\n".join([*lines, "Asked now:", question])


def numbered(count: int) -> str:
    """The sentence that tells the model which images there are; each has its number before it."""
    return "Above is image [1]." if count == 1 else f"Above are images [1] to [{count}]."


def read(
    notes: Sequence[str],
    images: int,
    question: str,
    is_root: bool,
    nudges: Sequence[Nudge] = (),
    own: Own = OURS,
) -> list[Message]:
    """Messages with ``notes`` on ``images`` images that ask for the answer or a summary."""
    joined = "\n\n".join(map(inside, notes))
    name = "root" if is_root else "branch"
    filled = fill(name, own, count=images, notes=joined, question=inside(question))
    return tell(filled, nudges, own)


def _system(own: Own) -> Message:
    return {"role": "system", "content": text_of("system", own)}


def text_of(name: str, own: Own) -> str:
    """The text called ``name``: the job's own if it has one, else ours."""
    return own[name] if name in own else text(name)


def fill(name: str, own: Own, /, **values: object) -> str:
    """The text called ``name`` with its placeholders replaced."""
    return Template(text_of(name, own)).substitute(values)


def with_nudges(filled: str, nudges: Sequence[Nudge], own: Own = OURS) -> str:
    return "\n\n".join([filled, *(text_of(f"nudge_{n}", own) for n in dict.fromkeys(nudges))])


def inside(content: str) -> str:
    """``content`` with our delimiters made harmless, so that it cannot leave its frame."""
    return _FRAME.sub(r"(\1", content)
