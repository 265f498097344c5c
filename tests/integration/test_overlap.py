"""Stages overlap, and a node is called as soon as its own parts are complete.

Stages are run by hand (tests.support.one_process), so nothing here depends on a clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from core.states import ImageStatus, NodeKind, NodeStatus
from models.tables import Call, Image, Job, Node
from tests.support.one_process import STAGES, Whole, make_files, whole

IMAGES = 48
SMALL_TREE = {"images_per_request": 4, "context_tokens": 4096, "slice_images": 4}
"""Leaves of four images and few notes per branch, so that there are branches below the root."""


@pytest.fixture
def job(tmp_path: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Whole]:
    monkeypatch.setattr("core.slice_size.SHARES", 1)  # every slice is one leaf,
    monkeypatch.setattr("core.slice_size.SLICE_SECONDS", 1e9)  # on machines of any speed
    with whole(tmp_path / "home", empty_url, **SMALL_TREE) as made:
        made.submit(make_files(tmp_path / "files", IMAGES))
        yield made


def column(job: Whole, found: object) -> list[object]:
    with job.services.database.read() as connection:
        return list(connection.execute(found).scalars())  # type: ignore[call-overload]


def open_nodes(job: Whole, kind: NodeKind) -> int:
    waiting = select(Node.id).where(Node.kind == kind, Node.status != NodeStatus.DONE)
    return len(column(job, waiting))


def leaf(job: Whole) -> None:
    """Take one leaf's images through every stage, and make its call."""
    for stage in ("preprocess", "upload", "infer"):
        assert STAGES[stage](job.services) != "nothing was due", stage


def test_the_first_leaf_is_answered_while_later_images_are_not_prepared(job: Whole) -> None:
    leaf(job)
    assert len(column(job, select(Call.id))) == 1
    pending = select(Image.id).where(Image.status == ImageStatus.PENDING)
    assert len(column(job, pending)) == IMAGES - 4


def test_a_branch_is_called_as_soon_as_its_children_are_done(job: Whole) -> None:
    branches = open_nodes(job, NodeKind.BRANCH)
    assert branches > 1, "a tree with branches below the root"
    while STAGES["aggregate"](job.services) == "nothing was due":
        leaf(job)
    assert open_nodes(job, NodeKind.BRANCH) == branches - 1
    assert open_nodes(job, NodeKind.LEAF) > 0


def test_the_root_is_ready_with_its_last_child_and_its_text_ends_the_job(
    job: Whole,
) -> None:
    while open_nodes(job, NodeKind.LEAF):
        leaf(job)
    while open_nodes(job, NodeKind.BRANCH) > 1:
        sent = job.sent["aggregate"]
        STAGES["aggregate"](job.services)
    assert job.sent["aggregate"] == sent + 1  # the message, sent with the last child's record
    STAGES["aggregate"](job.services)
    assert column(job, select(Job.status)) == ["completed"]
