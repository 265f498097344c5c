"""Answers in words. They contain only what was seen or noted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from overstory.sandbox.answers.citations import written
from overstory.sandbox.answers.observation import Observation
from overstory.sandbox.vision.colours import words_seen

_TAGGED = re.compile(r"<question\b[^<>]*>((?:[^<]++|<(?!/?question\b))*+)</question>")
_QUESTION = re.compile(r"(?<![^.?!\n])[^.?!\n]*+\?")
CITED_PER_WORD = 20
RULE = "==="
"""The line between the lines of single images and the answer, where a prompt asks for it."""


def question_in(text: str) -> str | None:
    """The text in ``<question>`` tags, else the last question of ``text``, else None."""
    questions = _TAGGED.findall(text) or _QUESTION.findall(text)
    return questions[-1].strip() if questions else None


def asks_rule(text: str) -> bool:
    """Whether ``text`` asks for lines, RULE and the answer; a question may contain RULE itself."""
    return RULE in _TAGGED.sub("", text)


def overview(observations: Sequence[Observation]) -> str:
    colours = Counter(observation.colour for observation in observations if observation.colour)
    lights = Counter(observation.light for observation in observations if observation.light)
    counts = [f"{count} mostly {name}" for name, count in colours.most_common(4)]
    counts += [f"{count} {name}" for name, count in lights.most_common()]
    return f"Of {len(observations)} images: {', '.join(counts) or 'nothing more is noted'}."


def opening(question: str, observations: Sequence[Observation]) -> str:
    """The answer to a question: which images match its words of the vocabulary."""
    matches = [_matching(word, observations) for word in dict.fromkeys(words_seen(question))]
    return " ".join([overview(observations), *matches])


def _matching(word: str, observations: Sequence[Observation]) -> str:
    markers = [
        observation.marker
        for observation in observations
        if word in (observation.colour, *observation.words)
    ]
    if not markers:
        return f"None is {word}."
    rest = len(markers) - CITED_PER_WORD
    more = f" and {rest} more" if rest > 0 else ""
    return f"{len(markers)} {word}: {written(markers[:CITED_PER_WORD])}{more}."


def describe(observations: Sequence[Observation], question: str | None, lines: list[str]) -> str:
    """The ``lines`` of images; first an opening sentence if a question was asked."""
    first = [opening(question, observations)] if question and observations else []
    return "\n".join([*first, *lines])


def lines_of(observations: Sequence[Observation]) -> list[str]:
    """A line for each image."""
    return [f"[{observation.marker}] {observation.line}" for observation in observations]


def summarise(
    observations: Sequence[Observation], question: str | None, room_bytes: int | None
) -> str:
    """A summary of notes that cites every marker once, grouped by colour and brightness.

    If that does not fit ``room_bytes``, runs of markers are shortened: ``[3-7, 9]``. If that does
    not fit either, each group cites its first markers and counts the rest, as a model does that
    must be brief. With None everything is cited in full.
    """
    first = opening(question, observations) if question else overview(observations)
    groups = _groups(observations)
    for short in (False, True):
        lines = [_group_line(name, markers, len(markers), short) for name, markers in groups]
        text = "\n".join([first, *lines])
        if room_bytes is None or len(text.encode()) <= room_bytes:
            return text
    shown = _markers_per_group(observations, len(groups), (room_bytes or 0) - len(first.encode()))
    return "\n".join([first, *(_group_line(name, markers, shown) for name, markers in groups)])


def grouped(observations: Sequence[Observation], room_bytes: int | None) -> str:
    """One line for each group of similar images, without counts: prompts forbid them in JSON."""
    lines = [f"{name}: {written(markers, short=True)}." for name, markers in _groups(observations)]
    text = "\n".join(lines)
    if room_bytes is not None and len(text.encode()) > room_bytes:
        text = "\n".join(
            f"{name}: {written(markers[:1])}." for name, markers in _groups(observations)
        )
    return text


def _markers_per_group(observations: Sequence[Observation], groups: int, spare_bytes: int) -> int:
    widest = max(len(str(observation.marker)) for observation in observations) + 4
    return max(1, (spare_bytes - 64 * groups) // widest // groups)


def _groups(observations: Sequence[Observation]) -> list[tuple[str, list[int]]]:
    groups: dict[str, list[int]] = {}
    for observation in observations:
        name = ", ".join(word for word in (observation.colour, observation.light) if word)
        groups.setdefault(f"Mostly {name}" if name else "Others", []).append(observation.marker)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _group_line(name: str, markers: list[int], shown: int, short: bool = False) -> str:
    more = f" and {len(markers) - shown} more" if len(markers) > shown else ""
    return f"{name} ({len(markers)}): {written(markers[:shown], short)}{more}"
