"""What an agent may do: over HTTP as its token may, over stdio as the person at this machine."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from anyio import to_thread
from rich.console import Console

from core.account.budget import plain
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.states import JobStatus
from models.reads import inspect, pipeline
from models.reads.inspect import JobLine
from models.reads.pipeline import JobRow
from overstory.api.caller import Caller, find_job
from overstory.api.estimates import Estimates
from overstory.api.status import JobState, state_of
from overstory.api.submissions import Submissions
from overstory.commands.estimate import Forecasting
from overstory.local.job_runner import take_up
from overstory.local.price import holds_new_jobs, say_price
from tasks import submit as submitting
from tasks.runtime.services import Services
from tasks.submit import Submitted

POLL_SECONDS = 1.0
JOBS_SHOWN = 10
Tell = Callable[[JobState], Awaitable[None]]


class Agent(ABC):
    """One caller at one service. Every method may raise OverstoryError."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self.services = services
        self.caller = caller

    @abstractmethod
    async def submit(self, spec: JobSpec) -> Submitted:
        """Plan and start a job."""

    @abstractmethod
    def estimate(self, spec: JobSpec) -> dict[str, Any]:
        """The object of ``overstory estimate --json``."""

    def find(self, job: str) -> JobRow:
        return find_job(self.services.database, job, self.caller)

    def state(self, job: str) -> JobState:
        return state_of(self.services.database, self.find(job))

    def cost(self, job: str) -> str:
        """What the job has cost so far; empty if that is nothing."""
        with self.services.database.read() as connection:
            used = pipeline.used(connection, job)
        return f"{used.cost:.4f} {used.currency}" if used.cost else ""

    def jobs(self) -> Sequence[JobLine]:
        """The newest jobs of the caller."""
        owner = None if self.caller.is_admin else self.caller.name
        with self.services.database.read() as connection:
            return inspect.jobs(connection, (), None, JOBS_SHOWN, owner)

    async def wait(self, job: str, seconds: float, tell: Tell) -> JobState:
        """The job's state when it is over, or after ``seconds``; ``tell`` is called with each."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while True:
            state = await to_thread.run_sync(self.state, job)
            await tell(state)
            left = deadline - clock()
            if state.over or left <= 0:
                return state
            await asyncio.sleep(min(POLL_SECONDS, left))


class TokenAgent(Agent):
    """Over HTTP: what the API does for the same caller."""

    def __init__(
        self, services: Services, caller: Caller, submissions: Submissions, estimates: Estimates
    ) -> None:
        super().__init__(services, caller)
        self._submissions = submissions
        self._estimates = estimates

    async def submit(self, spec: JobSpec) -> Submitted:
        return await self._submissions.submit(spec, self.caller)

    def estimate(self, spec: JobSpec) -> dict[str, Any]:
        return self._estimates.of(spec, self.caller)


class OwnAgent(Agent):
    """Over stdio: what the commands ``estimate`` and ``run`` do. All files that the person can read
    may be inputs, the same question about the same files is the same job, and nothing dear is
    started without a budget."""

    def __init__(self, services: Services) -> None:
        super().__init__(services, Caller())
        services.holds_new_jobs = holds_new_jobs(services.settings)

    async def submit(self, spec: JobSpec) -> Submitted:
        return await to_thread.run_sync(self._submit, _at_home(spec))

    def estimate(self, spec: JobSpec) -> dict[str, Any]:
        return Forecasting(self.services.settings, _at_home(spec)).value

    def _submit(self, spec: JobSpec) -> Submitted:
        submitted = submitting.submit(self.services, spec, natural=True)
        row = self.find(submitted.job_id)
        if row.status is JobStatus.PAUSED and row.reason == self.services.holds_new_jobs:
            self._agree(row)
            take_up(self.services, row.id)
        return submitted

    def _agree(self, row: JobRow) -> None:
        """As ``overstory run`` asks a person. Raises WrongUsage for a job that is dear and has no
        budget; it stays held, and is free to ask for again with one."""
        if row.options.budget is not None:
            return
        settings = self.services.settings
        console = Console(stderr=True)
        forecast = say_price(settings, self.services.database, row, console, quiet=True)
        if forecast.cost > settings.confirm_above:
            sums = f"about {plain(forecast.cost)} {forecast.currency}"
            raise WrongUsage(
                f"budget: this would cost {sums}, more than {plain(settings.confirm_above)}"
                " (OVERSTORY_CONFIRM_ABOVE): ask the person whether to spend it, then repeat the"
                " call with a budget. Nothing was sent"
            )


def _at_home(spec: JobSpec) -> JobSpec:
    """``spec`` with ``~`` as the person's home, as a shell would write it."""
    images = [str(Path(text).expanduser()) if text[:1] == "~" else text for text in spec.images]
    return spec.model_copy(update={"images": images})
