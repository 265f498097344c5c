"""Answers in words: what was seen or noted, never more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from overstory.sandbox.answers.citations import written
from overstory.sandbox.answers.observation import Observation
from overstory.sandbox.vision.colours import words_seen

_TAGGED = re.compile(r"<question\b[^>]*>(.*?)</question>", re.DOTALL)
_QUESTION = re.compile(r"[^.?!\n]*\?")
CITED_PER_WORD = 20


def question_in(text: str) -> str | None:
    """What stands in ``<question>`` tags, else the last question of a text, if it asks one."""
    found = _TAGGED.findall(text) or _QUESTION.findall(text)
    return found[-1].strip() if found else None


def overview(sights: Sequence[Observation]) -> str:
    """One sentence about the whole set."""
    colours = Counter(sight.colour for sight in sights if sight.colour)
    lights = Counter(sight.light for sight in sights if sight.light)
    told = [f"{count} mostly {name}" for name, count in colours.most_common(4)]
    told += [f"{count} {name}" for name, count in lights.most_common()]
    return f"Of {len(sights)} images: {', '.join(told) or 'nothing more is noted'}."


def opening(question: str, sights: Sequence[Observation]) -> str:
    """The answer to a question, as far as the vocabulary reaches."""
    told = [_who_is(word, sights) for word in dict.fromkeys(words_seen(question))]
    return " ".join([overview(sights), *told])


def _who_is(word: str, sights: Sequence[Observation]) -> str:
    who = [sight.marker for sight in sights if word in (sight.colour, *sight.words)]
    if not who:
        return f"None is {word}."
    rest = len(who) - CITED_PER_WORD
    more = f" and {rest} more" if rest > 0 else ""
    return f"{len(who)} {word}: {written(who[:CITED_PER_WORD])}{more}."


def describe(sights: Sequence[Observation], question: str | None) -> str:
    """A line for each image, after an opening sentence when a question was asked."""
    lines = [f"[{sight.marker}] {sight.line}" for sight in sights]
    return "\n".join([opening(question, sights), *lines] if question else lines)


def summarise(sights: Sequence[Observation], question: str | None, room_bytes: int | None) -> str:
    """A summary of notes that cites every marker once, grouped by colour and brightness.

    Where that would not fit ``room_bytes`` runs of markers are written short, ``[3-7, 9]``; where
    even that would not, each group cites its first markers and counts the rest, as a model that is
    told to be brief does. None always cites everything in full.
    """
    first = opening(question, sights) if question else overview(sights)
    groups = _groups(sights)
    for short in (False, True):
        lines = [_group_line(name, who, len(who), short) for name, who in groups]
        text = "\n".join([first, *lines])
        if room_bytes is None or len(text.encode()) <= room_bytes:
            return text
    shown = _room_each(sights, len(groups), (room_bytes or 0) - len(first.encode()))
    return "\n".join([first, *(_group_line(name, who, shown) for name, who in groups)])


def grouped(sights: Sequence[Observation], room_bytes: int | None) -> str:
    """A line a group of images that look alike, with no number but their markers: for texts in
    JSON, which are told to count nothing."""
    lines = [f"{name}: {written(who, short=True)}." for name, who in _groups(sights)]
    text = "\n".join(lines)
    if room_bytes is not None and len(text.encode()) > room_bytes:
        text = "\n".join(f"{name}: {written(who[:1])}." for name, who in _groups(sights))
    return text


def _room_each(sights: Sequence[Observation], groups: int, spare_bytes: int) -> int:
    widest = max(len(str(sight.marker)) for sight in sights) + 4
    return max(1, (spare_bytes - 64 * groups) // widest // groups)


def _groups(sights: Sequence[Observation]) -> list[tuple[str, list[int]]]:
    groups: dict[str, list[int]] = {}
    for sight in sights:
        name = ", ".join(word for word in (sight.colour, sight.light) if word)
        groups.setdefault(f"Mostly {name}" if name else "Others", []).append(sight.marker)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _group_line(name: str, who: list[int], shown: int, short: bool = False) -> str:
    more = f" and {len(who) - shown} more" if len(who) > shown else ""
    return f"{name} ({len(who)}): {written(who[:shown], short)}{more}"
