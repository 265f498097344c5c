"""What is read of a job's units, on both databases: coverage, positions, and exact costs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sqlalchemy import event, select, text, update

from models.engine import Database
from models.reads import pipeline
from models.reads.units import UnitRow, names, units
from models.tables import Image, Node
from tests.support.units import Given, call, ended, node


def read(database: Database, job: str) -> list[UnitRow]:
    with database.read() as connection:
        return units(connection, job)


def costs(database: Database, job: str) -> list[float]:
    return [unit.cost for unit in read(database, job)]


def leaves(connection: Any, job: str) -> list[int]:
    query = select(Node.id).where(Node.job_id == job, Node.kind == "leaf").order_by(Node.id)
    return list(connection.execute(query).scalars())


def test_a_unit_has_the_counts_and_positions_of_its_images(database: Database) -> None:
    job = ended(database)
    ended(database)
    found = read(database, job)
    assert [unit.positions for unit in found] == [[1, 2, 3], [4, 5], [6, 7, 8], [9]]
    assert [unit.number for unit in found] == [1, 2, 3, 4]
    assert found[1].coverage == {
        "submitted": 2, "included": 1, "failed": 1, "duplicate": 0, "skipped": 0,
    }  # fmt: skip
    assert (found[2].duplicate_of, found[2].answer) == (1, found[0].answer)
    with database.read() as connection:
        assert names(connection, job)[4] == "Garage"
        assert units(connection, "another") == []


def test_calls_are_paid_by_the_units_that_they_show(database: Database) -> None:
    job = ended(database, [Given("a", "x", ("included",) * 3), Given("b", "y"), Given("c", "z")])
    with database.write() as connection:
        (leaf,) = leaves(connection, job)
        call(connection, job, leaf, 0.5)
        call(connection, job, leaf, 0.25, status="unknown")
        call(connection, job, leaf, 8.0, status="started")
        never = (Image.job_id == job, Image.position == 5)  # it could not be prepared
        connection.execute(update(Image).where(*never).values(sha256=None, status="failed"))
    assert costs(database, job) == [0.75 * 3 / 4, 0.75 / 4, 0.0]


def test_what_answers_over_the_units_belongs_to_none(database: Database) -> None:
    job = ended(database, ask="Which is the best?")
    with database.write() as connection:
        root = node_above(connection, job)
        call(connection, job, root, 0.7, images=0)
        call(connection, job, None, 0.1)  # its node was replaced
        call(connection, job, leaves(connection, job)[1], 0.3)
    assert costs(database, job) == pytest.approx([0.0, 0.2, 0.0, 0.1])
    with database.read() as connection:
        assert pipeline.used(connection, job).cost == pytest.approx(1.1)


def test_a_divided_unit_pays_for_its_parts_and_its_fold(database: Database) -> None:
    job = ended(database, [Given("large", "x", ("included",) * 4), Given("small", "y", leaf=1)])
    with database.write() as connection:
        whole, other = leaves(connection, job)
        fold = node(connection, job, kind="branch", level=1, unit=1, parent_id=None, status="split")
        call(connection, job, whole, 0.4, status="refused")
        for positions in ((1, 2), (3, 4)):
            part = node(connection, job, unit=1, split_from=whole, parent_id=fold)
            which = (Image.job_id == job, Image.position.in_(positions))
            connection.execute(update(Image).where(*which).values(node_id=part))
            call(connection, job, part, 0.2)
        connection.execute(update(Node).where(Node.id == whole).values(status="split"))
        call(connection, job, fold, 0.05, images=0)
        call(connection, job, other, 0.01)
    assert costs(database, job) == pytest.approx([0.85, 0.01])
    with database.read() as connection:
        in_sql = connection.execute(text("SELECT cost FROM v_units ORDER BY number")).scalars()
        assert list(in_sql) == pytest.approx([0.85, 0.01])


def test_costs_of_units_and_of_calls_above_are_the_cost_of_the_job(database: Database) -> None:
    """A root leaf with 35 units was refused, stayed as a branch, and its halves were halved."""
    given = [Given(f"u{n}", "x", ("included",) * (1 + n % 4)) for n in range(35)]
    job = ended(database, given)
    with database.write() as connection:
        (leaf,) = leaves(connection, job)
        root = node_above(connection, job)
        call(connection, job, root, 0.1234567, status="refused", images=60)  # as a leaf
        connection.execute(update(Node).where(Node.id == leaf).values(split_from=root))
        halve(connection, job, leaf, root, depth=3)
        call(connection, job, root, 0.0333, images=0)  # over the units
    found = costs(database, job)
    with database.read() as connection:
        total = pipeline.used(connection, job).cost
        in_sql = connection.execute(text("SELECT cost FROM v_units ORDER BY number")).scalars()
        assert list(in_sql) == pytest.approx(found, abs=1e-12)
    assert min(found) > 0
    assert math.fsum([*found, 0.0333]) == pytest.approx(total, abs=1e-12)


def node_above(connection: Any, job: str) -> int:
    query = select(Node.id).where(Node.job_id == job, Node.kind == "branch")
    return int(connection.execute(query).scalar_one())


def halve(connection: Any, job: str, leaf: int, parent: int, depth: int) -> None:
    """Split a leaf as refusals do: it keeps its calls, and its images go to two new leaves."""
    call(connection, job, leaf, 0.07 / depth)
    query = select(Image.id).where(Image.node_id == leaf).order_by(Image.position)
    images = list(connection.execute(query).scalars())
    connection.execute(update(Node).where(Node.id == leaf).values(status="split"))
    middle = len(images) // 2
    for half in (images[:middle], images[middle:]):
        part = node(connection, job, split_from=leaf, parent_id=parent)
        connection.execute(update(Image).where(Image.id.in_(half)).values(node_id=part))
        call(connection, job, part, 0.011)
        if depth > 1:
            halve(connection, job, part, parent, depth - 1)


def test_the_number_of_statements_does_not_grow_with_the_units(database: Database) -> None:
    small, large = ended(database), ended(database, [Given(f"u{n}", "x") for n in range(400)])
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    read(database, small)
    before = len(statements)
    read(database, large)
    assert len(statements) == 2 * before
