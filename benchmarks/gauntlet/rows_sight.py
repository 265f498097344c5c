"""Rows about a model that does not see, or does not tell, all that it is sent.

Each is judged by the endpoint's ledger, which knows what the model truly saw.
"""

from __future__ import annotations

import contextlib
from typing import Any

from benchmarks.gauntlet.rows import row
from tests.support import sight
from tests.support.faults import crash_points, judge
from tests.support.faults.crash_points import Fault
from tests.support.faults.scene import Plan, Scene
from tests.support.faults.servers import until

EVERY_FOURTH = {"skips_every": 4}
FIRST_SEVEN = {"sees_first": 7}
CUT = {"keeps_tokens": 4096}
INVENTS = {"invents": True, "usage": "absent"}
UNKNOWN = "a-model-of-ours"
UNKNOWN_MODEL = {"provider": "openai", "model": UNKNOWN}
TRIALS = 8
"""Requests of 60 images, at most, that are sent before it is known how many the model sees."""
BLIND_REQUESTS = 16
PARTING = (Fault("parted", times=2), Fault("settled", nth=3), Fault("committed", nth=4))
TWICE = "(SELECT key FROM calls WHERE status = 'settled' GROUP BY key HAVING count(*) > 1) AS twice"


def plan(sandbox: dict[str, Any], settings: dict[str, Any] | None = None, **more: Any) -> Plan:
    """Leaves of 60 images, as a run has them."""
    chosen = {"context_tokens": None, **(settings or {})}
    return Plan(images_per_request=60, sandbox=sandbox, settings=chosen, **more)


def submit(stage: Scene, full: int = 360, short: int = 180, **spec: Any) -> str:
    """A job over cards that were in no job before."""
    number = len(stage.jobs)
    count = stage.bench.scaled(full, short)
    cards = sight.make_cards(stage.folder / f"cards-{number}", count, first=1 + number * count)
    return stage.submit_folder(cards, detail="low", **spec)


def complete(stage: Scene, job: str) -> None:
    """The job has ended with every image included, and each was truly seen."""
    stage.figures.expect(stage.status(job) == "completed", f"{job} is not completed")
    stage.figures.broken += sight.findings(stage.services.database, job, stage.endpoint.ledger())


def two_jobs(stage: Scene, is_learned: bool = True, **spec: Any) -> None:
    """Two jobs over different cards. ``is_learned``: the second one asks for nothing twice."""
    first = submit(stage, **spec)
    stage.finish(120)
    before = len(stage.endpoint.ledger())
    second = submit(stage, **spec)
    stage.finish(120)
    stage.judge()
    for job in (first, second):
        complete(stage, job)
    ledger = stage.endpoint.ledger()
    shown = [len(sight.image_calls(part)) for part in (ledger[:before], ledger[before:])]
    mine = f"job_id = '{second}' AND kind = 'leaf' AND status = 'done'"
    leaves = judge.count(stage.services.database, "nodes", mine)
    stage.figures.notes |= {"first": shown[0], "second": shown[1], "leaves": leaves}
    if is_learned:
        stage.figures.expect(shown[1] == leaves, f"{shown[1]} requests for {leaves} leaves")
        large = sum(len(call["images"]) > 50 for call in sight.image_calls(ledger))
        stage.figures.expect(large <= TRIALS, f"{large} requests were too large for the model")


@row("lines", "every fourth image has no line in the notes", plan(EVERY_FOURTH))
def left_out(stage: Scene) -> None:
    two_jobs(stage, is_learned=False)


@row("first", "the model sees the first 7 images of a request, and usage tells", plan(FIRST_SEVEN))
def first_images(stage: Scene) -> None:
    two_jobs(stage)


@row("cut", "prompts are cut at 4,096 tokens without an error", plan(CUT))
def cut_prompt(stage: Scene) -> None:
    two_jobs(stage)


@row(
    "unseen",
    "first 7 images, prompts cut at 4,096 tokens, every fourth line left out",
    plan(EVERY_FOURTH | FIRST_SEVEN | CUT),
)
def all_three(stage: Scene) -> None:
    two_jobs(stage, is_learned=False)


@row(
    "nousage",
    "first 7 images, every fourth line left out, and replies report no usage",
    plan(EVERY_FOURTH | FIRST_SEVEN | {"usage": "absent"}),
)
def no_usage(stage: Scene) -> None:
    two_jobs(stage, is_learned=False)


@row(
    "invents",
    "lines are invented for all but the first 7 images, without usage; with canaries",
    plan(FIRST_SEVEN | INVENTS),
)
def invented_lines(stage: Scene) -> None:
    two_jobs(stage, canary=True)
    _no_canary_shows(stage)


@row("blind", "a blind model invents a line for every image, with canaries", plan(INVENTS))
def blind(stage: Scene) -> None:
    stage.endpoint.configure(blind=True)
    given_up = submit(stage, canary=True)
    stage.finish(60)
    database = stage.services.database
    stage.figures.expect(stage.status(given_up) == "failed", "the job is not failed")
    included = judge.count(database, "images", "status = 'included'")
    stage.figures.expect(included == 0, f"{included} images are included that were not seen")
    requests = stage.endpoint.stats()["calls"]
    stage.figures.notes["requests"] = requests
    stage.figures.expect(requests <= BLIND_REQUESTS, f"{requests} requests to a blind model")
    stage.endpoint.configure(blind=False)
    seen = submit(stage, canary=True)
    stage.jobs.remove(given_up)  # it has no answer, which the judge would miss
    stage.finish(120)
    stage.judge()
    complete(stage, seen)
    _no_canary_shows(stage)


def _no_canary_shows(stage: Scene) -> None:
    """No job has a picture of ours among its images."""
    database = stage.services.database
    sent = {sha for call in sight.image_calls(stage.endpoint.ledger()) for sha in call["images"]}
    own = judge.count(database, "(SELECT DISTINCT sha256 FROM images) AS sent")
    stage.figures.notes["canaries"] = len(sent) - own
    stage.figures.expect(len(sent) > own, "no canary was sent")


@row(
    "unknown",
    "an unknown model of 258 tokens an image sees the first 7 images of a request",
    plan(
        FIRST_SEVEN | {"also_serves": UNKNOWN, "tokens_an_image": 258},
        UNKNOWN_MODEL,
    ),
)
def unknown_model(stage: Scene) -> None:
    two_jobs(stage)


@row(
    "unknowncut",
    "an unknown model of 85 tokens an image, prompts cut at 4,096 tokens",
    plan(CUT | {"also_serves": UNKNOWN, "tokens_an_image": 85}, UNKNOWN_MODEL),
)
def unknown_model_cut(stage: Scene) -> None:
    two_jobs(stage)


@row(
    "parted",
    "every second line left out, so leaves are divided; kill -9 at 4 points, then at random",
    plan({"skips_every": 2}, lease_seconds=3.0, faults=PARTING),
)
def parted(stage: Scene) -> None:
    job = submit(stage)
    for _ in range(stage.bench.scaled(6, 3)):
        with contextlib.suppress(TimeoutError):
            until(lambda: stage.in_flight() > 0 or stage.ended(), 10, "a call is in flight")
        stage.kill(stage.random.choice(stage.fleet.named("infer")))
        if stage.pace(stage.random.uniform(1.0, 3.0)):
            break
    stage.finish(120)
    stage.figures.allowed += crash_points.lost(stage.folder / "flags")
    stage.judge()
    complete(stage, job)
    twice = judge.count(stage.services.database, TWICE)
    stage.figures.expect(twice == 0, f"{twice} requests are settled twice")
    parts = judge.count(stage.services.database, "nodes", "status = 'split'")
    stage.figures.notes["divided"] = parts
    stage.figures.expect(parts > 0, "no leaf was divided")
    missing = sum(fault.times for fault in PARTING) - stage.figures.notes["struck"]
    stage.figures.expect(missing == 0, f"{missing} points were never reached")
