"""What preparation costs in truth, read by real recognition: make bench-truth.

    python -m benchmarks.truth [--quick] [--receipts 32] [--pages 8] [--threads 2]

First the eyes read the same made pictures from their original bytes, from a careful resize of the
size that is sent, and from what each preparation path sends. Then the real command asks about them
in several packs, at both details. The eyes read each image alone, so this measures what
preparation and the tree lose, not how a model tires over sixty pictures. Readings are kept in
benchmarks/out by content: a second run costs little. Exit status 1 if a path of ours loses more
than 1 point against the careful resize, beyond chance, or if a fact is lost between the images and
the result.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.eyes import fields
from benchmarks.eyes.reading import Reader
from benchmarks.truth import command
from benchmarks.truth.paths import CAREFUL, ORIGINAL, PATHS, PILLOW, VIPS, Score, Scores, sent
from benchmarks.truth.receipts import Receipt, pages, receipts
from benchmarks.truth.verdict import POINT, Compared, compared
from core.catalog.tokens import Detail
from core.truth.intervals import wilson

OUT = Path("benchmarks/out")
PICTURES = OUT / "truth-1"
"""A new number for pictures that are made in another way."""
DETAILS: tuple[Detail, ...] = ("low", "high")
HALF = 0.5
MOST_IMAGES, TREE_PACK, TREE_CONTEXT = 2, 4, 5_120
"""The tree: more images than an endpoint takes, and a context for few notes, so many levels."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 receipts and 2 pages, in one pack")
    parser.add_argument("--receipts", type=int)
    parser.add_argument("--pages", type=int)
    parser.add_argument("--threads", type=int, default=2, help="of recognition")
    parser.add_argument("--paths-only", action="store_true", help="do not run the command")
    args = parser.parse_args()
    PICTURES.mkdir(parents=True, exist_ok=True)
    made = receipts(PICTURES, args.receipts or (4 if args.quick else 32))
    made += pages(PICTURES, args.pages or (2 if args.quick else 8))
    print(f"{len(made)} pictures: {_kinds(made)}", flush=True)
    scores = Scores(made, Reader(OUT / "eyes", args.threads))
    held = preparation(scores)
    if not args.paths_only:
        held = through_the_command(scores, (60,) if args.quick else (1, 15, 60)) and held
    print("These eyes read each image alone: no figure here says how a model tires over many.")
    return 0 if held else 1


def _kinds(made: Sequence[Receipt]) -> str:
    counted = Counter(one.kind for one in made)
    scripts = ", ".join(dict.fromkeys(one.script for one in made))
    return f"{', '.join(f'{n} {kind}' for kind, n in counted.items())}; {scripts}"


def preparation(scores: Scores) -> bool:
    """Print a row for each path and size. Whether none of ours loses more than a point."""
    print(
        f"\n{'fields read right from':22}{'detail':>8}{'right':>12}{'share':>9}{'95 %':>16}"
        f"{'lost':>8}{'chance':>9}"
    )
    _show(scores.of(ORIGINAL, "low"), None)
    ours: list[tuple[Score, Compared]] = []
    for detail in DETAILS:
        reference = scores.of(CAREFUL, detail)
        _show(reference, None)
        for name in PATHS[1:]:
            read = scores.of(name, detail)
            against = compared(reference.right, read.right)
            _show(read, against)
            if name in (PILLOW, VIPS):
                ours.append((read, against))
    print("lost: fields that only the careful resize left readable, and + the other way round;")
    print("chance: how often equal paths would differ by so many images or more.")
    _show_kinds(scores)
    return _verdicts(ours)


def _verdicts(ours: Sequence[tuple[Score, Compared]]) -> bool:
    """Print what holds of each path of ours. Whether none loses more than a point beyond chance."""
    print()
    held = True
    for read, against in ours:
        verdict = against.verdict(len(ours))
        held = held and verdict != "MISSED"
        more = "; more pictures would tell whether that is chance" if verdict == "open" else ""
        print(f"{verdict:8}{read.path} at {read.detail}: {0 - against.gap:+.1%}{more}")
    return held


def _show(read: Score, against: Compared | None) -> None:
    right, of = sum(read.right.values()), len(read.right)
    low, high = wilson(right, of)
    counts = f"{right} of {of}"
    interval = f"{low:.1%}..{high:.1%}"
    row = f"{read.path:22}{read.detail:>8}{counts:>12}{read.share:>9.1%}{interval:>16}"
    if against is not None:
        row += f"{f'-{against.lost} +{against.gained}':>8}{against.chance:>9.2f}"
    print(row, flush=True)


def _show_kinds(scores: Scores) -> None:
    """Where detail matters: fields right of each kind of picture, from the original, low, high."""
    ways: list[tuple[str, Detail]] = [(ORIGINAL, "low"), (PILLOW, "low"), (PILLOW, "high")]
    read = [scores.of(name, detail).right for name, detail in ways]
    print(f"\n{'by kind':22}{'original':>10}{'low':>8}{'high':>8}{'of':>6}")
    for label in dict.fromkeys(k for one in scores.made for k in (one.kind, one.script)):
        names = {one.path.name for one in scores.made if label in (one.kind, one.script)}
        right = [sum(ok for (name, _), ok in r.items() if name in names) for r in read]
        of = sum(name in names for name, _ in read[0])
        print(f"{label:22}{right[0]:>10}{right[1]:>8}{right[2]:>8}{of:>6}")


def through_the_command(scores: Scores, packs: Sequence[int]) -> bool:
    """Print a row for each run. Whether pack and tree lose nothing that the eyes read."""
    head = f"\n{'overstory run':32}{'requests':>9}{'right':>12}{'unanswered':>12}{'tokens':>9}"
    print(head, flush=True)
    held = True
    ran: dict[Detail, command.Run] = {}
    with tempfile.TemporaryDirectory() as folder, command.eyes(scores.reader) as url:
        place = Path(folder)
        for detail in DETAILS:
            for pack in packs:
                ran[detail], whole = _run(scores, url, place, pack, detail, PILLOW)
                held = held and whole
        if len(packs) > 1:
            held = _run(scores, url, place, packs[-1], "low", VIPS)[1] and held
        auto = command.run(scores.made, url, place, pack=packs[-1], detail="auto")
    held = _looked_twice(len(scores.made), auto, ran["high"]) and held
    return _tree(scores) and held


def _run(
    scores: Scores,
    url: str,
    folder: Path,
    pack: int,
    detail: Detail,
    name: str,
) -> tuple[command.Run, bool]:
    """Run the command, print its row, and say whether it has all that the eyes read alone."""
    alone = sum(scores.of(name, detail).right.values())
    accelerator = "vips" if name == VIPS else "none"
    ran = command.run(scores.made, url, folder, pack=pack, detail=detail, accelerator=accelerator)
    row = _row(f"pack {pack}, {detail}, {name[6:-1]}", ran)
    print(row + ("" if ran.right == alone else f"  alone: {alone}"), flush=True)
    return ran, ran.right == alone


def _looked_twice(images: int, auto: command.Run, high: command.Run) -> bool:
    """Print what a second look costs and gains. Whether it is worth it: within a point of high
    detail for all, at half its tokens or less."""
    print(_row("the same, auto", auto))
    loss, cost = (high.right - auto.right) / high.of, auto.tokens / high.tokens
    held = loss <= POINT and cost <= HALF
    print(
        f"{_met(held)}--detail auto: {auto.twice} of {images} images looked at twice;"
        f" {0 - loss:+.1%} against all at high detail, at {cost:.0%} of their tokens"
    )
    return held


def _tree(scores: Scores) -> bool:
    """Through refusals, halves and levels: is a sum exact, does each total reach the root?"""
    read = [read_total(one, scores.reader) for one in scores.made]
    known = {n: total for n, total in enumerate(read, start=1) if total is not None}
    expected = round(sum(known.values()), 2)
    with (
        tempfile.TemporaryDirectory() as folder,
        command.eyes(scores.reader, most_images=MOST_IMAGES) as url,
    ):
        added, told = (
            command.run(
                scores.made,
                url,
                Path(folder),
                pack=TREE_PACK,
                detail="low",
                way=way,
                context=TREE_CONTEXT,
            )
            for way in command.IN_TREES
        )
    exact = json.loads(added.answer) == {"total": expected}
    reached = sum(
        re.search(rf"^\[{n}\].*\b{re.escape(f'total {total}')}\b", told.answer, re.M) is not None
        for n, total in known.items()
    )
    print(f"\nmore than {MOST_IMAGES} images refused, a context of {TREE_CONTEXT:,} tokens:")
    print(
        f"{_met(exact)}one object, {added.depth} levels: {added.answer}, and read: {expected:.2f}"
    )
    print(
        f"{_met(reached == len(known))}in words, {told.depth} levels: {reached} of {len(known)}"
        " totals that were read stand at the root"
    )
    return exact and reached == len(known)


def _met(held: bool) -> str:
    return "met     " if held else "MISSED  "


def read_total(one: Receipt, reader: Reader) -> float | None:
    """The total that the eyes read from what is sent at low detail."""
    found = fields.total(reader.rows(sent(one.path, "low", PILLOW)))
    return None if found is None else float(found.value)


def _row(label: str, ran: command.Run) -> str:
    counts = f"{ran.right} of {ran.of}"
    return f"{label:32}{ran.requests:>9}{counts:>12}{ran.unanswered:>12}{ran.tokens:>9}"


if __name__ == "__main__":
    sys.exit(main())
