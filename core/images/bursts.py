"""Which images of a set are nearly the same as others, and which one of each group is asked about.

A group is a burst: taken one after another within seconds, and alike. Its first and its last image
are alike too, so a slow pan is not one group, and so is each image and the one that stands for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from core.images.likeness import Likeness, is_alike, is_copy

SECONDS = 3.0
"""The most between an image of a group and the one before it. Clocks of cameras that keep no parts
of seconds may say one second more than it was."""
OPEN_MAX = 8
"""Groups that the next image is compared with, the latest ones: several cameras may take turns."""


@dataclass(frozen=True, slots=True)
class Compared:
    """An image of a job. ``unit``: only images of one unit are compared. ``likeness``: None if
    there is no picture here to compare, or none that could be read. ``answered``: an earlier job
    has an answer about it, so it costs nothing and is never left out."""

    position: int
    likeness: Likeness | None
    unit: int | None = None
    answered: bool = False


def stand_ins(images: Iterable[Compared]) -> dict[int, int]:
    """For each image to leave out: its position -> the position of the image that stands for it."""
    by_unit: defaultdict[tuple[int | None, bool], list[tuple[Compared, Likeness]]]
    by_unit = defaultdict(list)
    for image in images:
        if image.likeness is not None:
            dated = image.likeness.taken is not None
            by_unit[image.unit, dated].append((image, image.likeness))
    left_out: dict[int, int] = {}
    for (_, dated), members in by_unit.items():
        members.sort(key=lambda one: (one[1].taken or 0.0, one[0].position))
        for group in _groups(members, dated):
            left_out |= _left_out(group, dated)
    return left_out


Member = tuple[Compared, Likeness]


def _groups(members: Sequence[Member], dated: bool) -> list[list[Member]]:
    """Members in order of time, or of position if they have no times, in groups."""
    done: list[list[Member]] = []
    open_: list[list[Member]] = []  # the latest last
    for member in members:
        for group in reversed(open_):
            if _joins(member, group, dated):
                open_.remove(group)
                break
        else:
            group = []
            done.append(group)
        group.append(member)
        open_ = [*open_, group][-(OPEN_MAX if dated else 1) :]
    return [group for group in done if len(group) > 1]


def _joins(member: Member, group: Sequence[Member], dated: bool) -> bool:
    (_, first), (_, last), (_, new) = group[0], group[-1], member
    if dated and (new.taken or 0.0) - (last.taken or 0.0) > SECONDS:
        return False
    return _alike(last, new, dated) and (first is last or _alike(first, new, dated))


@lru_cache(maxsize=64)  # a burst is compared with its first, its last and its best
def _alike(a: Likeness, b: Likeness, dated: bool) -> bool:
    return is_alike(a, b) if dated else is_copy(a, b)


def _left_out(group: Sequence[Member], dated: bool) -> dict[int, int]:
    """The members that the best one stands for. The others make a group of their own."""
    left_out: dict[int, int] = {}
    rest = list(group)
    while len(rest) > 1:
        best = min(rest, key=_rank)
        like = [one for one in rest if one is not best and _alike(best[1], one[1], dated)]
        left_out |= {one[0].position: best[0].position for one in like if not one[0].answered}
        rest = [one for one in rest if one is not best and one not in like]
    return left_out


def _rank(member: Member) -> tuple[bool, float, int, int]:
    """An answered image costs nothing; then the sharpest, the largest and the first."""
    image, likeness = member
    return not image.answered, -likeness.sharpness, -likeness.pixels, image.position
