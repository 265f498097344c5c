"""``python -m benchmarks.fuzz``: run the cases, and say what was found."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fuzz.driver import KINDS, Chunk, Result, Run, chunks_of, one, outcomes
from benchmarks.fuzz.known import KNOWN

ALL = 100_000
SHOWN = 2_000
FOUND_SHOWN = 40


def main() -> int:
    arguments = parser().parse_args()
    kinds = arguments.kind or [name for name, kind in KINDS.items() if kind.share]
    if arguments.count == 1:
        return max(again(kind, arguments.seed) for kind in kinds)
    shares = {name: KINDS[name].share or ALL for name in kinds}
    scale = (arguments.count or ALL) / sum(shares.values())
    counts = {name: max(1, round(share * scale)) for name, share in shares.items()}
    known = [Chunk(name, seeds) for name, seeds in KNOWN.items() if name in kinds and seeds]
    run = Run(chunks_of(counts, arguments.seed))
    run.chunks.extendleft(known)
    began = time.monotonic()
    run.run(arguments.workers)
    report(run, kinds, time.monotonic() - began)
    wanted = sum(counts.values()) + sum(len(chunk.seeds) for chunk in known)
    done = sum(result.seed >= 0 for result in run.results)
    if done != wanted:
        print(f"{wanted - done} cases were not run")
    return int(bool(run.found) or done != wanted)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="make fuzz",
        description=(
            "Run inputs that are made wrong by chance. A case is named by its kind and its seed:"
            ' make fuzz ARGS="--kind pdf --seed 1234 --count 1" runs one again and shows it.'
        ),
    )
    made.add_argument(
        "--kind", action="append", choices=KINDS, help="only this kind; may be given again"
    )
    made.add_argument("--seed", type=int, default=1, help="the first seed (default: 1)")
    made.add_argument("--count", type=int, help=f"cases in all (default: {ALL:,})")
    made.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    return made


def report(run: Run, kinds: Sequence[str], seconds: float) -> None:
    for kind in kinds:
        results = [result for result in run.results if result.kind == kind]
        if not results:
            continue
        slowest = max(results, key=lambda result: result.seconds)
        cpu = sum(result.cpu_seconds for result in results)
        print(
            f"{kind}: {len(results):,} cases, {cpu:.0f} s of CPU time beside decoding;"
            f" slowest {slowest.seconds:.2f} s (seed {slowest.seed})"
        )
        for outcome, count in outcomes(results).most_common():
            print(f"{count:10,}  {outcome}")
    print(
        f"{len(run.results):,} cases in {seconds:.0f} s and {run.cpu_seconds:.0f} s of CPU time;"
        f" peak {run.peak_mb:.0f} MB; {len(run.found)} found"
    )
    for result in run.found[:FOUND_SHOWN]:
        print(line_of(result))
    if len(run.found) > FOUND_SHOWN:
        print(f"and {len(run.found) - FOUND_SHOWN} more")


def line_of(result: Result) -> str:
    return (
        f"{result.kind}, seed {result.seed}, {result.seconds:.2f} s:"
        f" {result.wrong or result.outcome}"
    )


def again(name: str, seed: int) -> int:
    """Run one case in this process and show its input; bytes are kept in a file."""
    case, result = one(KINDS[name], seed)
    data = [part for part in (case if isinstance(case, tuple) else (case,)) if type(part) is bytes]
    for part in data:
        folder = Path(tempfile.mkdtemp(prefix="overstory-fuzz-"))
        (folder / f"{name}-{seed}").write_bytes(part)
        print(folder / f"{name}-{seed}")
    if not data:
        print(ascii(case)[:SHOWN])
    print(line_of(result))
    return int(bool(result.wrong))


if __name__ == "__main__":
    sys.exit(main())
