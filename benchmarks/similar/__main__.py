"""How well bursts are found, and what it costs: ``make bench-similar``.

    python -m benchmarks.similar [--seed 1] [--bursts 60] [--sets 6]

Made pictures go through the real preparation and the real grouping. A picture that is left out
counts as right if it is of the burst of the picture that stands for it. Exit status 1 if precision
is under 99 %, or if the likeness costs 0.5 ms of CPU an image or more.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from io import BufferedReader, BytesIO
from random import Random

from benchmarks.similar.scenes import KINDS, Shot, bursts, distractors
from clients.images.prepare import prepare_file
from core.images.bursts import Compared, stand_ins
from core.images.likeness import Likeness
from core.images.sizing import ImageLimits

PRECISION_MIN = 0.99
MILLISECONDS_MAX = 0.5
ROUNDS = 15


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bursts", type=int, default=60)
    parser.add_argument("--sets", type=int, default=6, help="of each kind of other pictures")
    arguments = parser.parse_args()
    cost = milliseconds(list(bursts(Random(arguments.seed), 6, 6))[:20])
    print(f"likeness: {cost:.2f} ms of CPU an image, beside its preparation")
    right = True
    for dated in (True, False):
        rng = Random(arguments.seed)
        shots = [
            *bursts(rng, arguments.bursts, 8, dated),
            *distractors(rng, arguments.sets, 5, dated),
        ]
        precision = judged(shots, "with times" if dated else "without times")
        right = right and precision >= PRECISION_MIN
    return 0 if right and cost < MILLISECONDS_MAX else 1


def likeness(shot: Shot, compares: bool = True) -> Likeness | None:
    file = BufferedReader(BytesIO(shot.data))
    limits = ImageLimits()
    return prepare_file(
        file, len(shot.data), "low", limits, None, "none", compares=compares
    ).likeness


def milliseconds(shots: Sequence[Shot]) -> float:
    """What a likeness adds to preparation: the difference of the least times of each picture, over
    rounds that alternate, because other load on the machine only adds to them."""
    least = {False: [math.inf] * len(shots), True: [math.inf] * len(shots)}
    for _ in range(ROUNDS):
        for compares, times in least.items():
            for number, shot in enumerate(shots):
                began = time.process_time()
                likeness(shot, compares)
                times[number] = min(times[number], time.process_time() - began)
    return (sum(least[True]) - sum(least[False])) / len(shots) * 1000


def judged(shots: Sequence[Shot], title: str) -> float:
    """Print what was found among ``shots``; returns the precision."""
    compared = [Compared(position, likeness(shot)) for position, shot in enumerate(shots)]
    began = time.process_time()
    left_out = stand_ins(compared)
    spent = (time.process_time() - began) / len(shots) * 1000
    wrong = Counter(
        shots[position].kind
        for position, best in left_out.items()
        if shots[position].burst != shots[best].burst
    )
    sizes = Counter(shot.burst for shot in shots)
    could = sum(size - 1 for size in sizes.values())
    right = len(left_out) - wrong.total()
    precision = right / len(left_out) if left_out else 1.0
    print(
        f"{title}: {len(shots):,} pictures, {could} of bursts could be left out, {len(left_out)}"
        f" were: precision {precision:.1%}, recall {right / could:.1%};"
        f" grouping {spent:.2f} ms of CPU an image"
    )
    for kind in KINDS:
        if wrong[kind]:
            print(f"  wrong: {wrong[kind]} of {kind}")
    return precision


if __name__ == "__main__":
    sys.exit(main())
