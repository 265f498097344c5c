"""Rows about the provider: 429s, errors, no balance, unusable replies, refused images, outage."""

from __future__ import annotations

from benchmarks.gauntlet.rows import row
from overstory.sandbox.answers.malformed import FALSE_TOTAL
from tests.support.faults import judge
from tests.support.faults.photos import make_photos
from tests.support.faults.scene import Plan, Scene
from tests.support.faults.servers import until

HALVING_MAX = 13
RECORD = {
    "type": "object",
    "required": ["photos", "colours"],
    "additionalProperties": False,
    "properties": {
        "photos": {"type": "integer"},
        "colours": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    },
}
WEATHER = {"500": 0.05, "503": 0.05, "504": 0.02, "reset": 0.05, "cut": 0.05, "429": 0.05}


@row("15", "30 % of calls answered 429", Plan(sandbox={"rates": {"429": 0.3}}))
def slow_down(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(240, 80))
    stage.finish(120)
    stage.judge()
    tried = judge.count(stage.services.database, "nodes", "attempts > 1")
    stage.figures.expect(tried == 0, f"a 429 cost {tried} nodes an attempt")


@row(
    "16",
    "30 % of calls and uploads: 500, 503, 504, reset, cut, timeout, 429",
    Plan(
        sandbox={
            "rates": {**WEATHER, "timeout": 0.03},
            "hang_seconds": 60.0,
            "faults_on": ["chat", "files"],
        },
        settings={"read_timeout_seconds": 3.0},
    ),
)
def errors(stage: Scene) -> None:
    job = stage.submit(stage.bench.scaled(240, 80))
    stage.finish(150)
    ledger = stage.endpoint.ledger()
    lost = [line for line in ledger if line["event"] == "reply" and _lost(line)]
    stage.figures.allowed = sum(line["status"] == 499 for line in lost)
    stage.judge()
    unknown = judge.count(stage.services.database, "calls", "status = 'unknown'")
    stage.figures.notes |= {"unknown": unknown, "lost_replies": len(lost)}
    stage.figures.expect(unknown == len(lost), f"{unknown} unknown calls, {len(lost)} were lost")
    stage.figures.expect(
        stage.status(job) == "completed", "an image failed because of provider errors"
    )


@row(
    "17",
    "no balance in mid-job, then the broker is wiped and the balance restored",
    Plan(latency_seconds=0.5),
)
def no_balance(stage: Scene) -> None:
    job = stage.submit(stage.bench.scaled(300, 160))
    stage.until_done(8)
    stage.endpoint.configure(no_balance=True)
    paused = until(lambda: stage.status(job) == "paused", 20, "the job is paused")
    refused = stage.endpoint.stats()["replies"].get("402", 0)
    window = stage.plan.limits.concurrency
    stage.figures.expect(refused <= window, f"{refused} calls were sent without a balance")
    until(lambda: stage.in_flight() == 0, 10, "the last calls are refused")
    stage.pace(2.0)
    stage.broker.flush()  # the database alone must be enough to continue
    stage.endpoint.configure(no_balance=False)
    resumed = until(lambda: stage.status(job) != "paused", 30, "the job continues")
    stage.figures.notes |= {"paused_after": round(paused, 1), "resumed_after": round(resumed, 1)}
    stage.figures.notes["refused_402"] = refused
    stage.finish(90)
    stage.judge()
    stage.figures.expect(
        stage.status(job) == "completed", "something failed because of the missing balance"
    )


@row(
    "unusable",
    "30 % of replies: broken JSON, no choices, cut short, empty; citations of images never sent",
    Plan(
        sandbox={
            "rates": {"invalid_json": 0.08, "no_choices": 0.08, "length": 0.07, "empty": 0.07},
            "false_citations": True,
        }
    ),
)
def unusable(stage: Scene) -> None:
    job = stage.submit(stage.bench.scaled(240, 80))
    stage.finish(150)
    stage.judge()
    stage.figures.expect(
        stage.status(job) == "completed", "an image failed because of unusable replies"
    )
    invented = judge.count(stage.services.database, "nodes", "text LIKE '%[9999]%'")
    stage.figures.expect(invented == 0, f"{invented} texts cite an image that was never sent")


@row(
    "schema",
    "JSON replies in fences, without keys, with false keys and totals; 15 % broken or cut",
    Plan(
        sandbox={
            "rates": {"invalid_json": 0.05, "length": 0.05, "empty": 0.05},
            "code_fences": True,
            "missing_keys": 1,
            "false_totals": True,
        }
    ),
)
def wrong_schema(stage: Scene) -> None:
    images = stage.bench.scaled(120, 48)
    job = stage.submit(images, ask="How many, and which colours?", schema_=RECORD)
    stage.finish(150)
    stage.judge()
    stage.figures.expect(stage.status(job) == "completed", "an image failed because of a bad reply")
    answered = judge.count(stage.services.database, "images", "answer IS NOT NULL")
    stage.figures.expect(answered == images, f"{answered} of {images} images have an answer")
    false_total = f"answer LIKE '%{FALSE_TOTAL}%'"
    wrong = judge.count(stage.services.database, "jobs", false_total)
    stage.figures.expect(wrong == 0, "a false total reached the answer")
    stage.figures.notes["answered"] = answered


@row(
    "cap",
    "the endpoint takes 5 images in a request, and says so only in its refusals",
    Plan(
        images_per_request=60,
        settings={"context_tokens": None},
        sandbox={
            "max_images": 5,
            "too_many_images_message": "At most {most} image(s) may be provided in one prompt.",
        },
    ),
)
def cap(stage: Scene) -> None:
    first = stage.submit(stage.bench.scaled(180, 120))
    stage.finish(120)
    refused = stage.endpoint.stats()["replies"].get("400", 0)
    second = stage.submit(stage.bench.scaled(180, 120))
    stage.finish(120)
    stage.judge()
    again = stage.endpoint.stats()["replies"].get("400", 0) - refused
    stage.figures.notes |= {"refused": refused, "refused_again": again}
    stage.figures.expect(refused <= 8, f"{refused} requests were refused in the first job")
    stage.figures.expect(again == 0, f"{again} requests were refused in the second job")
    ends = {stage.status(first), stage.status(second)}
    stage.figures.expect(ends == {"completed"}, "a job is not completed")


def poison(stage: Scene, bad: list[int]) -> None:
    """Count the calls that are needed to find the ``bad`` images in leaves of 60."""
    images = stage.bench.scaled(180, 120)
    job = stage.submit(images, purple=bad)
    stage.finish(120)
    stage.judge()
    calls = stage.endpoint.stats()["calls"]
    without = images // 60 + 1
    failed = judge.count(stage.services.database, "images", "status = 'failed'")
    positions = ", ".join(map(str, bad))
    blocked = f"status = 'failed' AND error_code = 'blocked' AND position IN ({positions})"
    right = judge.count(stage.services.database, "images", blocked)
    stage.figures.notes |= {"calls": calls, "without_poison": without, "failed": failed}
    stage.figures.expect(right == failed == len(bad), f"{failed} images failed, not {len(bad)}")
    most = HALVING_MAX * len(bad)
    stage.figures.expect(
        calls - without <= most, f"{calls - without} more calls to find {len(bad)} bad images"
    )
    stage.figures.expect(stage.status(job) == "partial", "the job is not partial")


MODEL_CONTEXT = {"context_tokens": None}  # the model's own context, which takes 60 images
LEAVES_OF_60 = Plan(
    images_per_request=60,
    settings=MODEL_CONTEXT,
    sandbox={"keyed": [{"match": "colour:purple", "kind": "451"}]},
)


@row(
    "poison",
    "one image in a leaf of 60 is refused (451)",
    LEAVES_OF_60,
)
def one_poison(stage: Scene) -> None:
    poison(stage, [37])


@row(
    "poison2",
    "two images in a leaf of 60 are refused",
    LEAVES_OF_60,
)
def two_poison(stage: Scene) -> None:
    poison(stage, [7, 52])


@row(
    "filtered",
    "every reply about one image is content_filter",
    Plan(
        images_per_request=60,
        settings=MODEL_CONTEXT,
        sandbox={"keyed": [{"match": "colour:purple", "kind": "content_filter"}]},
    ),
)
def filtered(stage: Scene) -> None:
    poison(stage, [11])


@row("outage", "the provider is down, first for uploads and then for calls")
def outage(stage: Scene) -> None:
    stage.endpoint.configure(outage=True)
    job = stage.submit(stage.bench.scaled(300, 120))
    stage.pace(stage.bench.scaled(25, 6))
    stage.endpoint.configure(outage=False)
    stage.until_done(4, 90)
    stage.endpoint.configure(outage=True)
    stage.pace(stage.bench.scaled(30, 8))
    stage.endpoint.configure(outage=False)
    stage.fault()
    stage.finish(150)
    stage.judge()
    stage.figures.expect(stage.status(job) == "completed", "an outage was treated as a bad image")


@row("jobs", "ten jobs at once, with duplicates across them")
def ten_jobs(stage: Scene) -> None:
    size = stage.bench.scaled(60, 24)
    for number in range(10):  # jobs 2k and 2k + 1 have the same images
        photos = make_photos(stage.folder / f"set-{number}", size, first=1 + number // 2 * size)
        stage.submit_folder(photos, key=f"job-{number}")
    stage.finish(120)
    stage.judge()
    seen = stage.endpoint.stats()
    again = seen["uploads"] - seen["distinct_uploads"]
    stage.figures.notes |= {"uploads": seen["uploads"], "distinct": seen["distinct_uploads"]}
    stage.figures.expect(again == 0, f"{again} images were uploaded twice")
    stage.figures.expect(len(stage.jobs) == 10, f"{len(stage.jobs)} jobs for 10 keys")
    half = stage.figures.nodes // 2
    # fewer if two sets have equal notes, because equal requests are sent once
    stage.figures.expect(
        stage.figures.calls <= half, f"{stage.figures.calls} calls, more than {half}"
    )


def _lost(line: dict[str, object]) -> bool:
    """Whether the reply did not arrive complete, or may be billed despite its error."""
    return line["status"] in (499, 500, 503, 504) or line["kind"] in ("cut", "reset")
