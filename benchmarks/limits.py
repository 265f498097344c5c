"""Account limits end to end: real Celery workers are killed; the sandbox counts its own calls.

    python -m benchmarks.limits [ROW ...] [--short]

Rows: V0, V1, V3 (the tier's binding limit, first without faults, then with kills and a broker
restart), refused, halved, quota, inline, late. Windows are scaled in time; the limits are those of
the newest table. Exit status 1 when a row fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.catalog.tiers import AccountLimits, tier
from tests.support.faults import judge
from tests.support.faults.account import check_limits, kills, prefill
from tests.support.faults.judge import Figures
from tests.support.faults.photos import make_photos
from tests.support.faults.scene import Bench, Plan, Scene, scene
from tests.support.faults.servers import Postgres, until

USED = 0.95


@dataclass(frozen=True)
class Load:
    """One tier's row: which limit binds, and how."""

    tier: str
    binds: str
    window_seconds: float
    windows: int  # of each phase
    latency_seconds: float
    images: int  # of one request
    calls_a_window: int  # at most, to prepare enough requests
    processes: int = 8

    @property
    def limits(self) -> AccountLimits:
        return tier(f"b:{self.tier}")

    def plan(self) -> Plan:
        return Plan(
            limits=self.limits,
            images_per_request=self.images,
            infer_processes=self.processes,
            latency_seconds=self.latency_seconds,
            sandbox={"window_seconds": self.window_seconds},
            settings={"limit_window_seconds": self.window_seconds, "context_tokens": None},
        )


LOADS = {
    "V0": Load("V0", "rpm", 24.0, 2, 0.1, images=1, calls_a_window=100),
    "V1": Load("V1", "tpm", 15.0, 3, 0.5, images=60, calls_a_window=190),
    "V3": Load("V3", "concurrency", 20.0, 2, 5.0, images=1, calls_a_window=160),
}


# ---- rows


def tier_row(bench: Bench, load: Load) -> Figures:
    """A tier's limit is used fully without faults, and never exceeded when processes die."""
    title = f"{load.tier} of the newest table, {load.binds} binds, {load.processes} processes"
    with scene(bench, load.plan(), load.tier, title) as stage:
        calls = 2 * (load.windows + 2) * load.calls_a_window
        prefill(stage, load.images, calls)
        until(lambda: stage.endpoint.stats()["calls"] > 0, 60.0, "the first call")
        time.sleep(load.windows * load.window_seconds + 2 * load.latency_seconds)
        share = used(stage, load)
        stage.figures.notes["used"] = f"{share:.1%}"
        stage.figures.expect(share >= USED, f"{share:.1%} of {load.binds} used without faults")
        before = stage.endpoint.stats()["calls"]
        kills(stage, load.windows * load.window_seconds)
        stage.figures.notes["calls with kills"] = stage.endpoint.stats()["calls"] - before
        check_limits(stage)
        return stage.figures


def used(stage: Scene, load: Load) -> float:
    """The share of the binding limit that was used, over full windows from the first call."""
    lines = stage.endpoint.ledger()
    starts = {x["id"]: x["time"] for x in lines if x["event"] == "start"}
    replies = [x for x in lines if x["event"] == "reply" and x["status"] == 200]
    begin, span = min(starts.values()), load.windows * load.window_seconds
    if load.binds == "rpm":
        inside = sum(at < begin + span for at in starts.values())
        return inside / load.windows / load.limits.rpm
    if load.binds == "tpm":
        tokens = sum(
            x["prompt_tokens"] + x["completion_tokens"]
            for x in replies
            if starts[x["id"]] < begin + span
        )
        return tokens / load.windows / load.limits.tpm
    begin, span = begin + span / 4, span * 3 / 4  # skip the first quarter, in which the slots fill
    held = sum(
        max(0.0, min(x["time"], begin + span) - max(starts[x["id"]], begin)) for x in replies
    )
    return held / span / load.limits.concurrency


def refused_row(bench: Bench) -> Figures:
    """Every call is answered 429 for a while: no image fails, one probe per second is sent."""
    load = LOADS["V0"]
    with scene(bench, load.plan(), "refused", "100 % 429 for a while, then recovery") as stage:
        prefill(stage, load.images, 240)
        until(lambda: stage.endpoint.stats()["paid"] > 50, 60.0, "50 calls")
        stage.endpoint.configure(always_429=True)
        began = time.time()
        probing = lambda: stage.services.limiter.state().probe_seconds is not None  # noqa: E731
        until(probing, 30.0, "the limiter pauses the account")
        settled = time.time()
        time.sleep(bench.scaled(20, 6))
        stage.endpoint.configure(always_429=False)
        ended = time.time()
        stage.finish(120.0)
        times = refusals(stage)
        probes = [at for at in times if settled < at <= ended]
        most = max((sum(at <= t < at + 1.0 for t in probes) for at in probes), default=0)
        stage.figures.notes |= {
            "429 before the pause": sum(began <= at <= settled for at in times),
            "probes": f"{len(probes)} in {ended - settled:.0f} s, at most {most} per second",
            "failed images": judge.count(stage.services.database, "images", "status = 'failed'"),
        }
        stage.figures.expect(most <= 1, f"{most} probes in a second")
        stage.figures.expect(
            stage.figures.notes["failed images"] == 0, "images failed because of a 429"
        )
        stage.figures.calls = stage.endpoint.stats()["paid"]
        return stage.figures


def halved_row(bench: Bench) -> Figures:
    """The provider halves the requests per window without notice."""
    load = LOADS["V0"]
    with scene(bench, load.plan(), "halved", "RPM halved without notice") as stage:
        windows = bench.scaled(7, 3)
        prefill(stage, load.images, 200 + (windows + 3) * 50)
        until(lambda: stage.endpoint.stats()["paid"] > 100, 60.0, "100 calls")
        half = load.limits.rpm // 2
        stage.endpoint.configure(rpm=half)
        began = time.time()
        time.sleep(2 * load.window_seconds)
        settled, before = time.time(), stage.endpoint.stats()["calls"]
        time.sleep(windows * load.window_seconds)
        late = sum(at > settled for at in refusals(stage))
        calls = stage.endpoint.stats()["calls"] - before + late
        stage.figures.notes |= {
            "429 while adapting": sum(began <= at <= settled for at in refusals(stage)),
            "429 after": f"{late} of {calls} calls",
            "used after": f"{(calls - late) / windows / half:.1%} of the half",
            "failed images": judge.count(stage.services.database, "images", "status = 'failed'"),
        }
        stage.figures.expect(
            late < 0.01 * calls, f"{late} of {calls} calls answered 429 after adapting"
        )
        stage.figures.calls = calls
        return stage.figures


def quota_row(bench: Bench, inline: bool = False) -> Figures:
    """A set of five times the file quota; ``inline``: images above it go inside the request."""
    images, quota = bench.scaled(5000, 1000), bench.scaled(1000, 200)
    design = Plan(
        limits=AccountLimits(40, 6000, 10**9),
        images_per_request=60,
        infer_processes=1,
        latency_seconds=1.0,
        sandbox={"max_files": quota},
        settings={
            "files_max": quota,
            "upload_threads": 16,
            "context_tokens": None,
            "inline_when_full": inline,
        },
    )
    title = f"{images:,} images with a quota of {quota:,} files" + ", then inline" * inline
    with scene(bench, design, "inline" if inline else "quota", title) as stage:
        stage.submit(images)
        stage.finish(900.0)
        lines, seen = stage.endpoint.ledger(), stage.endpoint.stats()
        stage.figures.notes |= {
            "uploads": seen["uploads"],
            "contents": seen["distinct_uploads"],
            "most files at once": judge.most_files(lines),
            "included": judge.count(stage.services.database, "images", "status = 'included'"),
            "uploads refused": uploads_refused(stage),
        }
        notes = stage.figures.notes
        again = notes["uploads"] - notes["contents"]
        stage.figures.expect(again == 0, f"{again} images were uploaded twice")
        if not inline:
            stage.figures.expect(notes["uploads"] == images, "an image was not uploaded")
        stage.figures.expect(notes["most files at once"] <= quota, "the quota was exceeded")
        stage.figures.expect(notes["uploads refused"] == 0, "an upload was refused")
        stage.figures.expect(notes["included"] == images, "an image is missing")
        stage.figures.calls = seen["paid"]
        return stage.figures


def late_row(bench: Bench) -> Figures:
    """A job of twenty images starts while a large job runs; it may take 1.5 times as long."""
    many = bench.scaled(10_000, 1_200)
    design = Plan(
        limits=tier("b:V0"),
        images_per_request=60,
        infer_processes=1,
        latency_seconds=6.0,
        settings={"upload_threads": 16, "context_tokens": None},
    )
    with scene(bench, design, "late", f"20 images behind {many:,}") as stage:
        alone = [timed(stage, 20, first=100_000 + 20 * n) for n in range(2)][-1]
        stage.submit_folder(make_photos(stage.folder / "many", many))
        until(lambda: stage.in_flight() >= 4, 120.0, "the first calls of the large job")
        behind = [timed(stage, 20, first=200_000 + 20 * n) for n in range(3)]
        worst = max(behind)
        stage.figures.notes |= {
            "alone": f"{alone:.1f} s",
            "behind": " ".join(f"{seconds:.1f}" for seconds in behind) + " s",
            "ratio": f"{worst / alone:.2f}",
            "images done of the large job": judge.count(
                stage.services.database, "images", "status = 'included'"
            ),
        }
        stage.figures.expect(worst <= 1.5 * alone, f"{worst / alone:.2f} times as long as alone")
        stage.figures.calls = stage.endpoint.stats()["paid"]
        return stage.figures


ROWS: dict[str, Callable[[Bench], Figures]] = {
    **{name: lambda bench, load=load: tier_row(bench, load) for name, load in LOADS.items()},
    "refused": refused_row,
    "halved": halved_row,
    "quota": quota_row,
    "inline": lambda bench: quota_row(bench, inline=True),
    "late": late_row,
}


# ---- what the rows use


def timed(stage: Scene, images: int, first: int) -> float:
    """Seconds from the submission of a small job to its end."""
    photos = make_photos(stage.folder / f"small-{first}", images, first=first)
    began = time.monotonic()
    job = stage.submit_folder(photos)
    until(lambda: stage.status(job) == "completed", 300.0, "the small job ends")
    return time.monotonic() - began


def refusals(stage: Scene) -> list[float]:
    """The times at which the endpoint answered 429."""
    lines = stage.endpoint.ledger()
    return [x["time"] for x in lines if x["event"] == "reply" and x["status"] == 429]


def uploads_refused(stage: Scene) -> int:
    """How many times the provider refused a file, from the logs of the upload workers."""
    logs = stage.folder.glob("upload*.log")
    return sum(log.read_text().count("store.refused") for log in logs)


# ---- the command


def show(figures: Figures) -> None:
    verdict = "ok" if figures.passed else "FAIL"
    print(f"{figures.row:8} {verdict:4}  {figures.title}")
    print(
        f"{'':10}{figures.calls} calls, {figures.kills} kills, {figures.seconds:.0f} s,"
        f" load {os.getloadavg()[0]:.1f}"
    )
    for name, value in figures.notes.items():
        print(f"{'':10}{name}: {value}")
    for sentence in figures.broken:
        print(f"{'':10}! {sentence}")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help="default: all of them")
    parser.add_argument("--short", action="store_true", help="smaller sets, fewer windows")
    args = parser.parse_args()
    passed = True
    with tempfile.TemporaryDirectory(prefix="overstory-limits-") as folder:
        postgres = Postgres(Path(folder) / "postgres")
        for name in args.rows or ROWS:
            began = time.monotonic()
            figures = ROWS[name](Bench(Path(folder), postgres, 1, args.short))
            figures.seconds = time.monotonic() - began
            show(figures)
            passed &= figures.passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
