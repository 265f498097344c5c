"""What is read of a large job: few rows by an index, or page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, update

from clients.blobs import FolderBlobs
from clients.images.decoder import Decoder
from clients.uploads import open_uploads
from core.errors import RefusalCode
from core.images.sizing import DecoderLimits, ImageLimits
from core.states import NodeKind
from models import below, claims, new_job, repair, retention, state
from models.engine import Connection, Database
from models.reads import export, inspect, parts, pipeline
from models.state import Moved
from models.tables import Image, Job, Node
from overstory.output.result import json_of, result
from overstory.report import paging
from overstory.report.data import live_data, report_data
from overstory.report.paging import Page
from tests.support import jobs
from tests.support.units import call

READS: dict[str, tuple[str, Callable[[Connection], object]]] = {
    "a claim of a node": (
        "ix_nodes_ready",
        lambda connection: claims.next_node(connection, jobs.ACCOUNT, NodeKind.LEAF),
    ),
    "renewed leases of images": (
        "ix_images_tried",
        lambda connection: claims.renew_images(connection, ["one"], 30.0),
    ),
    "renewed leases of files": (
        "ix_files_leased",
        lambda connection: claims.renew_images(connection, ["one"], 30.0),
    ),
    "renewed leases of nodes": (
        "ix_nodes_running",
        lambda connection: claims.renew_nodes(connection, ["one"], 30.0),
    ),
    "what has expired": (
        "ix_nodes_running",
        lambda connection: repair.anything_expired(connection, 5),
    ),
    "the check of countdowns": (
        "ix_nodes_waiting",
        lambda connection: repair.recount(connection, Moved()),
    ),
    "why images wait": (
        "ix_images_troubled",
        lambda connection: pipeline.trouble(connection, "job"),
    ),
    "why uploads wait": (
        "ix_images_troubled",
        lambda connection: pipeline.upload_waits_for(connection, "job"),
    ),
    "uploads in use": (
        "ix_images_upload",
        lambda connection: retention.used_uploads(connection, ["upload:a/b"], ()),
    ),
}


@contextmanager
def plans(database: Database, connection: Connection) -> Iterator[list[str]]:
    """The plans of the statements of the block."""
    seen: list[tuple[str, Any]] = []

    def keep(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        seen.append((statement, parameters))

    found: list[str] = []
    event.listen(database.engine, "before_cursor_execute", keep)
    yield found
    event.remove(database.engine, "before_cursor_execute", keep)
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    for statement, parameters in seen:
        rows = connection.exec_driver_sql(explain + statement, parameters)
        found.append("\n".join(str(tuple(row)) for row in rows))


@pytest.mark.parametrize("read", READS)
def test_few_rows_are_found_by_an_index(database: Database, read: str) -> None:
    jobs.submit(database, (2, 2))
    index, work = READS[read]
    if database.is_sqlite and index == "ix_nodes_waiting":
        pytest.skip("SQLite begins with the running jobs, and finds their nodes by another index")
    with database.write() as connection:
        if not database.is_sqlite:  # of four rows it would read all
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        with plans(database, connection) as found:
            work(connection)
    assert any(index in plan for plan in found), found


def test_a_node_is_chosen_by_its_job_then_its_level(database: Database) -> None:
    """The job that was served least, its highest branch, the first of those."""
    jobs.submit(database, (1, 1, 1), fan_in=2)
    least = jobs.submit(database, (1, 1, 1), fan_in=2)
    with database.write() as connection:
        connection.execute(update(Job).where(Job.id != least).values(served_tokens=9.0))
        connection.execute(update(Node).values(status="ready", pending=0))
        leaf = claims.next_node(connection, jobs.ACCOUNT, NodeKind.LEAF)
        leaves_run = update(Node).where(Node.job_id == least, Node.kind == NodeKind.LEAF)
        connection.execute(leaves_run.values(status="running"))
        branch = claims.next_node(connection, jobs.ACCOUNT, NodeKind.BRANCH)
        other = claims.next_node(connection, jobs.ACCOUNT, NodeKind.LEAF, without=[least])
    assert leaf is not None
    assert branch is not None
    assert other is not None
    assert (leaf.job_id, leaf.first_position) == (least, 1)
    assert (branch.job_id, branch.level) == (least, 2)
    assert other.job_id != least


def test_a_large_submission_counts_the_tables(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else PostgreSQL plans for empty tables until it counts them by itself."""
    if database.is_sqlite:
        pytest.skip("SQLite plans without counts")
    counted = "SELECT reltuples FROM pg_class WHERE relname = 'images'"
    for least, rows in ((4, -1), (3, 6)):
        monkeypatch.setattr(new_job, "COUNTED_FROM", least)
        jobs.submit(database, (3,))
        with database.read() as connection:
            assert connection.exec_driver_sql(counted).scalar() == rows


def test_countdowns_are_checked_in_pieces(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "RECOUNTED", 2)
    job = jobs.submit(database, (2, 2, 2))
    with database.write() as connection:
        connection.execute(update(Node).where(Node.kind == "leaf").values(pending=1))
        after, repaired, rounds = 0, 0, 0
        while True:
            more, after = repair.recount(connection, Moved(), after)
            repaired, rounds = repaired + more, rounds + 1
            if after == 0:
                break
        pending = {node.pending for node in jobs.rows(connection, Node, job) if node.kind == "leaf"}
    assert (repaired, rounds, pending) == (3, 3, {2})


@pytest.mark.parametrize("most", [1, 10])
def test_images_below_a_node_of_many_leaves(
    database: Database, ended: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(below, "LISTED_MAX", most)
    with database.read() as connection:
        nodes = jobs.rows(connection, Node, ended)
        root = next(node.id for node in nodes if node.parent_id is None)
        leaf = next(node.id for node in nodes if node.first_position == 3)
        found = [pipeline.included_positions(connection, node) for node in (root, leaf)]
    assert found == [{1, 2, 3, 5, 6}, {3}]


@pytest.fixture
def ended(database: Database) -> str:
    """A job of six images in three leaves, of which the fourth failed."""
    job = jobs.submit(database, (2, 2, 2))
    with database.write() as connection:
        fourth = next(row for row in jobs.rows(connection, Image, job) if row.position == 4)
        why = (RefusalCode.CORRUPT, "it is cut short")
        state.images_failed(connection, job, {fourth.id: why}, Moved())
    jobs.finish_all(database, jobs.upload_all(database, job))
    return job


def row_of(database: Database, job: str) -> pipeline.JobRow:
    with database.read() as connection:
        row = pipeline.job(connection, job)
    assert row is not None
    return row


@pytest.fixture
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE_ROWS", 2)
    monkeypatch.setattr(parts, "NODES_READ", 2)


@pytest.mark.parametrize("only", [{}, {"statuses": ["failed"]}, {"unseen": True}], ids=str)
def test_images_are_listed_page_by_page(
    database: Database, ended: str, pages_of_two: None, only: dict[str, Any]
) -> None:
    with database.read() as connection:
        whole = inspect.images(connection, ended, **only)
    assert whole
    assert list(parts.lines_in_pages(database, ended, **only)) == whole


def test_a_page_is_read_when_the_list_comes_to_it(
    database: Database, ended: str, pages_of_two: None
) -> None:
    lines = parts.lines_in_pages(database, ended)
    first = next(lines).name
    with database.write() as connection:
        connection.execute(update(Image).where(Image.job_id == ended).values(name="renamed"))
    renamed = [line.position for line in lines if line.name == "renamed"]
    assert (first, renamed) == ("0-0.jpg", [3, 4, 5, 6])


def test_nodes_are_listed_page_by_page(database: Database, ended: str, pages_of_two: None) -> None:
    with database.write() as connection:
        for node in jobs.rows(connection, Node, ended):
            call(connection, ended, node.id, cost=0.25)
    with database.read() as connection:
        whole = inspect.nodes(connection, ended)
        cut = inspect.nodes(connection, ended, text_most=3)
    assert [(node.requests, node.cost) for node in whole] == [(1, 0.25)] * 4
    assert list(parts.nodes_in_pages(database, ended)) == whole
    assert [node.text for node in cut] == [(node.text or "")[:3] for node in whole]


def test_a_sample_is_spread_over_the_images(database: Database, ended: str) -> None:
    with database.read() as connection:
        for most, expected in ((9, [1, 2, 3, 4, 5, 6]), (3, [1, 3, 5]), (4, [1, 3, 5])):
            sample = parts.sampled(connection, ended, parts.EVERY, most)
            assert [line.position for line in sample] == expected
        assert parts.sampled(connection, "other", parts.EVERY, 3) == []


def test_the_result_is_written_in_pieces(
    database: Database, ended: str, pages_of_two: None
) -> None:
    row = row_of(database, ended)
    text = "".join(json_of(database, row, waits=None))
    whole = result(database, row)
    assert json.loads(text) == {**whole, "waits": None}
    assert list(json.loads(text)) == [*whole, "waits"]
    assert [image["position"] for image in whole["images"]] == [1, 2, 3, 4, 5, 6]
    assert "\n" not in text


def test_a_large_report_has_pages(
    database: Database, ended: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "IMAGES_A_PAGE", 2)
    row = row_of(database, ended)
    blobs, uploads = FolderBlobs(tmp_path / "blobs"), open_uploads(None, tmp_path)
    made = {}
    for path, page in Page.all_of(row.submitted, tmp_path / "report.html"):
        decoder, limits = Decoder(DecoderLimits()), ImageLimits()
        made[path.name] = report_data(database, row, blobs, uploads, limits, decoder, 0.0, page)
    assert list(made) == ["report.html", "report-2.html", "report-3.html"]
    shown = [[image["n"] for image in data["images"]] for data in made.values()]
    assert shown == [[1, 2, 4], [3, 4], [5, 6]]  # the first shows the failed image too
    for data in made.values():
        assert data["coverage"]["included"] == 5
        assert data["statuses"] == {"included": 5, "failed": 1}
        assert data["page"]["files"] == list(made)
        here = {node["id"] for node in data["nodes"]}
        assert {image["node"] for image in data["images"]} <= here
        assert {node["parent"] for node in data["nodes"]} - {None} <= here
    assert [(d["page"]["first"], d["page"]["last"]) for d in made.values()] == [
        *((1, 2), (3, 4), (5, 6))
    ]
    alone = live_data(database, row, 0.0)
    assert [image["n"] for image in alone["images"]] == [1, 2, 4]
    assert (alone["page"]["count"], alone["page"]["files"]) == (3, [])


def test_a_small_report_has_one_page(database: Database, ended: str) -> None:
    data = live_data(database, row_of(database, ended), 0.0)
    assert data["page"] is None
    assert [image["n"] for image in data["images"]] == [1, 2, 3, 4, 5, 6]
