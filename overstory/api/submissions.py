"""Submissions from every door of the service: the API, chat completions, MCP."""

from __future__ import annotations

from threading import BoundedSemaphore

from core.errors import WrongUsage
from core.images.uploaded import is_upload, owned
from core.jobs import JobSpec
from overstory.api.caller import Caller
from overstory.api.problems import TooBusy
from tasks import submit as submitting
from tasks.runtime.services import Services
from tasks.submit import Submitted, TimeLimit

PLANNED_AT_ONCE = 8
"""Submissions that are planned at the same time; further ones are told to come again. Planning
reads folders and file names, and a thread of the service is busy meanwhile."""


class Submissions:
    """Plans the jobs that callers submit."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._planning = BoundedSemaphore(PLANNED_AT_ONCE)

    def submit(self, spec: JobSpec, caller: Caller) -> Submitted:
        """Plan and write the job of ``spec``, which belongs to the caller's token. Raises
        WrongUsage, NotAllowed, TooBusy, ServiceAway."""
        caller.check_changes()
        settings = self._services.settings
        spec = with_own_uploads(spec, caller)
        if len(spec.images) > settings.max_inputs:
            raise WrongUsage(
                f"images: {len(spec.images):,} inputs, and {settings.max_inputs:,} is the most"
                " (OVERSTORY_MAX_INPUTS): name folders or patterns instead of files"
            )
        if not self._planning.acquire(blocking=False):
            raise TooBusy
        try:
            limit = TimeLimit(settings.submit_seconds)
            return submitting.submit(
                self._services, spec, by_message=True, limit=limit, owner=caller.name
            )
        finally:
            self._planning.release()


def with_own_uploads(spec: JobSpec, caller: Caller) -> JobSpec:
    """``spec`` with each ``upload:SHA256/NAME`` as an upload of the caller. Raises WrongUsage for
    one that names an owner."""
    images = [owned(text, caller.owner) if is_upload(text) else text for text in spec.images]
    return spec.model_copy(update={"images": images})
