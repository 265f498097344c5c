"""Planned jobs in a real database, and helpers to read their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select, update

from core.errors import RefusalCode
from core.job_options import JobOptions
from core.requests.review import LeafImages
from core.states import ImageStatus, NodeKind, NodeStatus, Seen
from core.tree.plan import plan_tree
from models import claims, new_job, state
from models.claims import Lease
from models.engine import Database
from models.new_job import NewImage, NewJob
from models.reads import pipeline
from models.state import Moved, PreparedImage
from models.tables import Event, Image, Job, Node

ACCOUNT = "account"
LONG = 1_000.0
NUMBERS = count(1)


def lease(seconds: float = LONG) -> Lease:
    return Lease(f"lease-{next(NUMBERS)}", seconds)


def submit(
    database: Database,
    leaves: Sequence[int] = (2,),
    fan_in: int = 8,
    *,
    duplicates: int = 0,
    account: str = ACCOUNT,
    weight: float = 1.0,
    **options: Any,
) -> str:
    """Insert a job with these images per leaf, and duplicates of the first; returns its id."""
    name = f"job{next(NUMBERS)}"
    images = [
        NewImage(f"{leaf}-{n}.jpg", f"/{leaf}-{n}.jpg", None, None, 1, None, leaf)
        for leaf, size in enumerate(leaves)
        for n in range(size)
    ]
    images += [NewImage("twin.jpg", "/twin.jpg", None, None, 1, 1, None)] * duplicates
    job = NewJob(
        id=name, key=name, ask="?", label=None, model="m", provider="stepfun", endpoint="e",
        account=account, detail="low", weight=weight, options=JobOptions(**options),
    )  # fmt: skip
    with database.write() as connection:
        assert new_job.insert_job(connection, job, images, plan_tree(len(leaves), fan_in))
    return name


def prepared(sha256: str = "a" * 64, remarks: str | None = None) -> PreparedImage:
    return PreparedImage(sha256, None, "image/jpeg", 8, 8, 100, 171, remarks)


def record_prepared(connection: Any, image_id: int, token: str, moved: Moved) -> bool:
    made = {image_id: prepared(f"sha-{image_id}")}
    return image_id in state.images_prepared(connection, token, made, moved)


def record_uploaded(connection: Any, image_id: int, token: str, moved: Moved) -> bool:
    return image_id in state.images_uploaded(connection, token, [image_id], moved)


def fail_image(
    connection: Any,
    image_id: int,
    code: RefusalCode,
    reason: str,
    moved: Moved,
    token: str | None = None,
) -> bool:
    job = connection.execute(select(Image.job_id).where(Image.id == image_id)).scalar_one()
    return bool(state.images_failed(connection, job, {image_id: (code, reason)}, moved, token))


def upload_all(database: Database, job: str) -> Moved:
    """Take every image of the job through preprocess and upload."""
    moved = Moved()
    with database.write() as connection:
        for row in rows(connection, Image, job):
            if row.status == ImageStatus.PENDING:
                assert record_prepared(connection, row.id, hold(connection, Image, row.id), moved)
            if row.status in (ImageStatus.PENDING, ImageStatus.PREPARED):
                assert record_uploaded(connection, row.id, hold(connection, Image, row.id), moved)
    return moved


def hold(connection: Any, table: Any, row_id: int, token: str | None = None) -> str:
    """Lease a row to ``token`` out of turn."""
    token = token or f"held-{row_id}"
    values = {"lease_token": token, "lease_until": 1e12}
    connection.execute(update(table).where(table.id == row_id).values(**values))
    return token


def expire(database: Database, table: Any) -> None:
    """Expire all leases of the table, as if their workers were lost."""
    with database.write() as connection:
        held = table.lease_token.is_not(None)
        connection.execute(update(table).where(held).values(lease_until=0.0))


def run_node(database: Database, node_id: int) -> str:
    """Claim a ready node out of turn; returns the lease's token."""
    taken = lease()
    with database.write() as connection:
        job = connection.execute(select(Node.job_id).where(Node.id == node_id)).scalar_one()
        work: Any = SimpleNamespace(id=node_id, job_id=job)
        assert claims.claim_node(connection, work, taken, 100)
    return taken.token


def finish_node(database: Database, node_id: int) -> Moved:
    """Claim a ready node and record its text."""
    moved = Moved()
    token = run_node(database, node_id)
    with database.write() as connection:
        assert node_done(connection, node_id, token, f"notes {node_id}", moved)
    return moved


def node_done(connection: Any, node_id: int, token: str, text: str, moved: Moved) -> bool:
    """Record a node's text; of a leaf, its images are included because they were sent."""
    return state.node_done(connection, node_id, token, text, 0, moved, seen_by(connection, node_id))


def seen_by(connection: Any, node_id: int) -> LeafImages | None:
    """All images that a leaf shows; None for a branch."""
    shown = [image.position for image in pipeline.look_images(connection, node_id)]
    kind = connection.execute(select(Node.kind).where(Node.id == node_id)).scalar_one()
    if kind != NodeKind.LEAF:
        return None
    return LeafImages(dict.fromkeys(shown, Seen.SENT))


def prove(database: Database, job: str, seen: str, *positions: int) -> None:
    """Record what shows that the model saw images of a job, and a line about each."""
    with database.write() as connection:
        for position in positions:
            which = (Image.job_id == job, Image.position == position)
            values = {"seen": seen, "note": None if seen == "sent" else f"a red barn [{position}]"}
            connection.execute(update(Image).where(*which).values(**values))


def finish_all(database: Database, moved: Moved) -> None:
    """Answer ready nodes until none is left."""
    waiting = [*moved.leaves, *moved.branches]
    while waiting:
        after = finish_node(database, waiting.pop(0))
        waiting += [*after.leaves, *after.branches]


def rows(connection: Any, table: Any, job: str) -> list[Any]:
    """A job's rows in a table, oldest first."""
    found = select(table.__table__).where(table.job_id == job).order_by(table.id)
    return list(connection.execute(found).all())


def look(database: Database, table: Any, job: str) -> list[Any]:
    with database.read() as connection:
        return rows(connection, table, job)


def the_job(database: Database, job: str) -> Any:
    with database.read() as connection:
        return connection.execute(select(Job.__table__).where(Job.id == job)).one()


def the_node(database: Database, node_id: int) -> Any:
    with database.read() as connection:
        return connection.execute(select(Node.__table__).where(Node.id == node_id)).one()


def statuses(database: Database, table: Any, job: str) -> list[str]:
    return [row.status for row in look(database, table, job)]


def events(database: Database, job: str, name: str) -> int:
    return sum(row.name == name for row in look(database, Event, job))


def root_of(database: Database, job: str) -> int:
    nodes = look(database, Node, job)
    return next(n.id for n in nodes if n.parent_id is None and n.status != NodeStatus.SPLIT)


def covered(database: Database, job: str) -> dict[str, int]:
    with database.read() as connection:
        return {name: n for name, n in state.coverage(connection, job).items() if n}


def at_once(work: Callable[[Any], Any], items: Iterable[Any], threads: int = 8) -> list[Any]:
    """Run ``work`` on every item in parallel threads; returns the results in order."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))
