"""The stages of the pipeline: one table. A new stage is one row here and one file in tasks/."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.states import ImageStatus, NodeKind


class Pool(StrEnum):
    """The kind of Celery pool that a stage's work needs."""

    PROCESSES = "prefork"  # CPU: decoding takes a core each, and a crash ends one child only
    THREADS = "threads"  # waiting: for uploads and calls


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. ``name`` is also its queue and its module in tasks/.

    ``takes``: what is due for it: images in that status, or ready nodes of that kind; None: what
    its messages carry. ``label``: its name in progress displays.
    """

    name: str
    takes: ImageStatus | NodeKind | None
    pool: Pool
    label: str = ""

    @property
    def task(self) -> str:
        """The name of its Celery task."""
        return f"overstory.{self.name}"

    @property
    def by_image(self) -> bool:
        """Whether it works on slices of images; if not, on one node for each message."""
        return isinstance(self.takes, ImageStatus)

    @property
    def image_status(self) -> ImageStatus:
        """The status of the images that it takes. Raises TypeError for a stage of nodes."""
        if not isinstance(self.takes, ImageStatus):
            raise TypeError(f"the stage {self.name} takes no images")
        return self.takes


SUBMIT = Stage("submit", None, Pool.THREADS)
PREPROCESS = Stage("preprocess", ImageStatus.PENDING, Pool.PROCESSES, "prepare")
UPLOAD = Stage("upload", ImageStatus.PREPARED, Pool.THREADS, "upload")
INFER = Stage("infer", NodeKind.LEAF, Pool.THREADS, "look")
AGGREGATE = Stage("aggregate", NodeKind.BRANCH, Pool.THREADS, "summarise")

PLAIN_QUEUE = "celery"
"""Where ``send_task`` of an app without routing puts a message. No worker of ours takes from it,
because another app's messages may be there; the reconciler moves our submissions out of it."""
STAGES = (SUBMIT, PREPROCESS, UPLOAD, INFER, AGGREGATE)
"""In the order in which an image goes through them."""


WORKERS = ((PREPROCESS,), (UPLOAD, SUBMIT), (INFER, AGGREGATE))
"""Stages that share a worker of one machine, in the order of its queues."""


def stage_of(kind: NodeKind | str) -> Stage:
    """The stage that asks nodes of ``kind``."""
    return INFER if kind == NodeKind.LEAF else AGGREGATE
