"""The second look of a leaf's unclear images: they wait for it, and what it says is recorded.

The first look's answer stays in the row. It is replaced only by a look that could tell more, so a
second look that fails, is refused or is cancelled makes no image worse.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from sqlalchemy import Connection, and_, func, select, update

from core.requests.review import LeafImages
from core.requests.second_look import is_better, looks_left
from core.states import ImageStatus, NodeStatus
from models.engine import now
from models.state.fanin import child_settled, open_leaf
from models.state.first_answers import keep_first, leaf_values
from models.state.moves import FREE, Moved, event, hold_job, image_events, move_node, node_row
from models.state.nodes import fail_unseen, include
from models.state.splits import part_leaf
from models.tables import Image, Job, Node


def chosen_again(connection: Connection, node_id: int, images: LeafImages) -> list[int]:
    """Ids of the leaf's unclear images that may be looked at twice, in order. The job is locked
    until the end of the transaction, so the bound is exact."""
    job_id = node_row(connection, node_id).job_id
    hold_job(connection, job_id)
    job = connection.execute(select(Job.options, Job.submitted).where(Job.id == job_id)).one()
    taken = select(func.count()).where(Image.job_id == job_id, Image.look > 1)
    left = looks_left(
        job.options.second_look or 0, job.submitted, connection.execute(taken).scalar_one()
    )
    unclear = (
        select(Image.id)
        .where(
            Image.node_id == node_id,
            Image.status == ImageStatus.UPLOADED,
            Image.position.in_(list(images.unclear)),
        )
        .order_by(Image.position)
        .limit(left)
    )
    return list(connection.execute(unclear).scalars()) if left else []


def look_again(
    connection: Connection,
    node_id: int,
    token: str,
    refused: int,
    images: LeafImages,
    chosen: Sequence[int],
    prepared_again: bool,
    moved: Moved,
) -> bool:
    """Replace a leaf by one that is done, over the images that are clear, one over the ``chosen``
    ones, which waits until they are prepared if they are ``prepared_again``, and one for each group
    of the others in ``images.apart``. Returns False if the lease was lost."""
    job_id = node_row(connection, node_id).job_id
    ids = _open_images(connection, node_id)
    groups = _groups(ids, images, without=chosen)
    later = {*chosen, *chain.from_iterable(groups)}
    others = [image for image in ids.values() if image not in later]
    done = part_leaf(connection, node_id, token, groups, others, moved, chosen)
    if done is None:
        return False
    of_chosen = select(Image.node_id).where(Image.id == chosen[0])
    again = connection.execute(of_chosen).scalar_one()
    assert again is not None, "part_leaf gave it a leaf"
    include(connection, again, images)
    _open_again(connection, again, chosen, prepared_again, moved)
    if done:
        _finish_part(connection, done, job_id, refused, images, moved)
    return True


def _open_again(
    connection: Connection,
    leaf: int,
    chosen: Sequence[int],
    prepared_again: bool,
    moved: Moved,
) -> None:
    """Open the leaf of a second look, whose images may have to be prepared first."""
    status = ImageStatus.PENDING if prepared_again else ImageStatus.UPLOADED
    values = {"status": status, "look": 2, "attempts": 0, "due_at": 0.0, "updated_at": now()}
    connection.execute(
        update(Image)
        .where(Image.id.in_(chosen))
        .values(first_sha256=Image.sha256, **values, **FREE)
    )
    image_events(connection, chosen, status)
    if prepared_again:
        connection.execute(update(Node).where(Node.id == leaf).values(pending=len(chosen)))
        moved.pending += len(chosen)
    else:
        open_leaf(connection, leaf, moved)


def looked_again(
    connection: Connection,
    node_id: int,
    token: str,
    refused: int,
    images: LeafImages,
    moved: Moved,
) -> bool:
    """Record a second look. An image of which it told no more keeps what the first look said. What
    the reply left out is shown in leaves of its own. Returns False if the lease was lost."""
    job_id = node_row(connection, node_id).job_id
    hold_job(connection, job_id)
    rows = connection.execute(
        select(Image.id, Image.position, Image.seen, Image.unclear).where(
            Image.node_id == node_id, Image.status == ImageStatus.UPLOADED
        )
    ).all()
    ids = {row.position: row.id for row in rows}
    groups = _groups(ids, images)
    better = {
        row.position: images.seen[row.position]
        for row in rows
        if row.position in images.seen
        and (row.seen is None or is_better(row.unclear, images.unclear.get(row.position)))
    }
    images = replace(images, seen=better)
    if not groups:
        if not move_node(connection, node_id, NodeStatus.DONE, token):
            return False
        _finish_part(connection, node_id, job_id, refused, images, moved, is_part=False)
        child_settled(connection, node_id, moved)
        return True
    later = set(chain.from_iterable(groups))
    now_done = [image for image in ids.values() if image not in later]
    done = part_leaf(connection, node_id, token, groups, now_done, moved)
    if done:
        _finish_part(connection, done, job_id, refused, images, moved)
    return done is not None


def _open_images(connection: Connection, node_id: int) -> dict[int, int]:
    """Ids of the images that a leaf shows, by position."""
    shown = select(Image.id, Image.position).where(
        Image.node_id == node_id, Image.status == ImageStatus.UPLOADED
    )
    return {row.position: row.id for row in connection.execute(shown)}


def _groups(
    ids: Mapping[int, int], images: LeafImages, without: Collection[int] = ()
) -> list[list[int]]:
    """Ids of the images that are shown again in leaves of their own, as ``images.apart`` says."""
    groups = [[ids[p] for p in group if p in ids] for group in images.apart]
    groups = [[image for image in group if image not in without] for group in groups]
    return [group for group in groups if group]


def _finish_part(
    connection: Connection,
    node_id: int,
    job_id: str,
    refused: int,
    images: LeafImages,
    moved: Moved,
    is_part: bool = True,
) -> None:
    """Record a done leaf's images and, from them, its text."""
    include(connection, node_id, images)
    keep_first(connection, and_(Image.node_id == node_id, Image.status == ImageStatus.UPLOADED))
    fail_unseen(connection, node_id, job_id, images.unseen, moved)
    values = leaf_values(connection, node_id, images.rest)
    connection.execute(
        update(Node)
        .where(Node.id == node_id)
        .values(refused_citations=refused, finished_at=now(), error=None, error_code=None, **values)
    )
    if is_part:
        event(connection, job_id, "node.done", node_id=node_id)
