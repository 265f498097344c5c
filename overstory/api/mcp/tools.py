"""The four tools: what they do, and what an agent reads of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

from anyio import to_thread

from core.jobs import parse_spec
from core.states import ImageStatus, JobStatus
from models.engine import Connection
from models.reads import inspect, parts
from models.reads.inspect import ImageLine
from models.reads.pipeline import JobRow
from overstory.api.mcp.agents import Agent
from overstory.api.mcp.answers import Told, Wanted, answer_of
from overstory.api.mcp.estimating import estimate_text
from overstory.api.mcp.quoting import Quoted, joined, line
from overstory.api.status import JobState
from overstory.local.hindrances import nobody_works
from overstory.report.command import report_text
from overstory.report.pictures import PictureSize, pictures

WAIT_MOST = 300.0
PICTURES_SHOWN = 6
PICTURE = PictureSize(480, 62)
"""About 30 KB: enough to see what a note speaks of."""
REPORT_CHARACTERS = 4_000_000
LEFT_OUT_SHOWN = 3
SETTLED = (
    ImageStatus.INCLUDED,
    ImageStatus.FAILED,
    ImageStatus.DUPLICATE,
    ImageStatus.SKIPPED,
)
Progress = Callable[[float, float, str], Awaitable[None]]
"""Takes the number of images that are done, that of all, and a sentence."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A text, and JPEGs in base64 that belong to it."""

    text: str
    pictures: tuple[str, ...] = ()


async def estimate(agent: Agent, fields: dict[str, Any]) -> str:
    """What a job with these fields would take. Raises OverstoryError."""
    spec = parse_spec(fields)
    return estimate_text(await to_thread.run_sync(agent.estimate, spec))


async def ask(agent: Agent, fields: dict[str, Any], seconds: float, progress: Progress) -> str:
    """Start the job of these fields, and its answer if it is there in time."""
    submitted = await agent.submit(parse_spec(fields))
    begun = _left_out(submitted.ignored)
    return joined(begun, await status(agent, submitted.job_id, seconds, progress))


async def status(agent: Agent, job: str, seconds: float, progress: Progress) -> str:
    """The state of a job when it is over or after ``seconds``, and its answer if there is one."""

    async def tell(state: JobState) -> None:
        await progress(done_of(state), state.coverage["submitted"], _standing(state))

    state = await agent.wait(job, min(max(seconds, 0.0), WAIT_MOST), tell)
    if state.status.ended:
        return (await answer(agent, job, Wanted(), False)).text
    cost = await to_thread.run_sync(agent.cost, job)
    return _unfinished(state, cost, await to_thread.run_sync(_trouble, agent, state))


async def jobs(agent: Agent) -> str:
    """The caller's newest jobs, a line for each."""
    rows = await to_thread.run_sync(agent.jobs)
    quoted = Quoted(
        [f"{row.id} {row.status}, {row.submitted:,} images: {line(row.ask, 120)}" for row in rows]
    )
    return quoted.text() or "There is no job yet."


async def answer(agent: Agent, job: str, wanted: Wanted, with_pictures: bool) -> Shown:
    """The answer of a job with its evidence, and pictures of the first images in it."""
    row = await to_thread.run_sync(agent.find, job)
    told = await to_thread.run_sync(answer_of, agent.services.database, row, wanted)
    if not with_pictures:
        return Shown(told.text)
    return await to_thread.run_sync(_with_pictures, agent, row, told)


async def report(agent: Agent, job: str) -> str:
    """The report as one HTML page. Raises OverstoryError."""
    row = await to_thread.run_sync(agent.find, job)
    services = agent.services
    text = await to_thread.run_sync(report_text, services.settings, services.database, row)
    if len(text) > REPORT_CHARACTERS:
        return (
            f"<p>The report of job {row.id} has {len(text):,} characters, too many for MCP:"
            f" 'overstory report {row.id}' writes it to a file.</p>"
        )
    return text


def done_of(state: JobState) -> int:
    """The number of images that need no more work."""
    return sum(state.coverage.get(status, 0) for status in SETTLED)


def _standing(state: JobState) -> str:
    return f"{done_of(state):,} of {state.coverage['submitted']:,} images"


def _unfinished(state: JobState, cost: str, trouble: str) -> str:
    """A running or paused job, and what to do about it."""
    failed = state.coverage.get(ImageStatus.FAILED, 0)
    parts = [
        f"job {state.job} {state.status}: {_standing(state)} done",
        *([f"{failed:,} failed"] if failed else []),
        *([f"{cost} so far"] if cost else []),
        *([line(state.reason)] if state.reason else []),
        *([trouble] if trouble else []),
    ]
    if state.status is JobStatus.PAUSED:
        todo = (
            f"It waits for a person: 'overstory resume {state.job}', or 'overstory resume"
            f" {state.job} --budget N' if its budget is spent."
        )
    else:
        todo = (
            f'It goes on: status with job="{state.job}" and wait_seconds=50 waits for the answer.'
        )
    return f"{'; '.join(parts)}.\n{todo}"


def _trouble(agent: Agent, state: JobState) -> str:
    """Why nobody works on a job that has not begun; empty if somebody does."""
    if state.status is not JobStatus.RUNNING or done_of(state):
        return ""
    return nobody_works(agent.services.settings)


def _left_out(ignored: tuple[str, ...]) -> str:
    if not ignored:
        return ""
    quoted = Quoted([line(name, 120) for name in ignored[:LEFT_OUT_SHOWN]])
    return joined(f"{len(ignored):,} files are left out: they are not images.", quoted.text())


def _with_pictures(agent: Agent, row: JobRow, told: Told) -> Shown:
    services = agent.services
    with services.database.read() as connection:
        lines = _lines(connection, row, told.shown)
        copied = {line.duplicate_of for line in lines.values() if line.duplicate_of}
        lines |= _lines(connection, row, copied)
    chosen = [_original(lines, at) for at in told.shown]
    chosen = list({image.position: image for image in chosen}.values())[:PICTURES_SHOWN]
    made = pictures(
        chosen,
        services.blobs,
        services.uploads,
        services.settings.image_limits,
        services.decoder,
        PICTURE,
    )
    order = [at for at in made.index_of if at in {image.position for image in chosen}]
    if not order:
        return Shown(joined(told.text, "No picture of these images is kept any more."))
    named = ", ".join(f"[{at}]" for at in order)
    rest = len(told.shown) - len(order)
    more = "" if rest <= 0 else f" ({rest:,} more images without theirs: name them by images=)"
    encoded = tuple(made.encoded[made.index_of[at]] for at in order)
    return Shown(joined(told.text, f"Pictures, in this order: {named}{more}"), encoded)


def _lines(connection: Connection, row: JobRow, positions: Collection[int]) -> dict[int, ImageLine]:
    found = inspect.images(connection, row.id, which=parts.at(positions))
    return {image.position: image for image in found}


def _original(lines: dict[int, ImageLine], position: int) -> ImageLine:
    image = lines[position]
    return lines.get(image.duplicate_of or position, image)
