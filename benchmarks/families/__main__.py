"""Estimate and budget at five families of models: python -m benchmarks.families [--images 72].

For each: `overstory estimate`, then `overstory run` with half of the budget that the estimate
names, then the same command with all of it. The bill is the stand-in's own. It fails if an estimate
is more than 5 % off or a budget is passed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.families.pictures import draw
from benchmarks.families.standin import FAMILIES
from benchmarks.families.trial import DETAILS, HEAD, Trial, tried

IMAGES = 72


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    args = parser.parse_args()
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory(prefix="families-") as folder:
        photos = draw(Path(folder) / "photos", args.images)
        print(HEAD, flush=True)
        for family in FAMILIES:
            for detail in DETAILS:
                trials.append(tried(family, detail, photos, Path(folder)))
                print(trials[-1].row, flush=True)
    if wrong := [sentence for trial in trials for sentence in trial.problems]:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
