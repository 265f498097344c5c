"""The views, and every query of docs/sql.md, on both databases."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import insert, text, update

from core.job_options import JobOptions
from models.engine import Database
from models.reads import pipeline, views
from models.tables import Call, Delivery, Image, Job, Node, Unit
from tests.support import jobs
from tests.support.one_process import make_files, whole

COOKBOOK = Path(__file__).parents[2] / "docs" / "sql.md"
FENCE = re.compile(r"^```sql ?(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
VALUES = {
    "job": "job-1",
    "label": "receipts",
    "since": "2026-01-01",
    "position": 2,
    "name": "b.jpg",
    "sha256": "s" * 64,
    "words": "two apples",
    "unit": "Oak",
}
AT = 1_790_000_000.25  # 2026-09-21 14:13:20.25 UTC
CALL = {"job_id": "job-1", "account": "a", "model": "m", "images": 2, "currency": "USD"}
CALL |= {"reserved_tokens": 1, "lease_token": "t", "lease_until": 0.0, "started_at": AT}
EMPTY_IS_RIGHT = ("status IN ('running', 'paused')", "look = 2")


@dataclass(frozen=True)
class Recipe:
    kind: str
    sql: str

    @property
    def name(self) -> str:
        return re.sub(r"\W+", "-", self.sql)[:60]


RECIPES = [Recipe(kind, sql) for kind, sql in FENCE.findall(COOKBOOK.read_text("utf-8"))]
QUERIES = [recipe for recipe in RECIPES if recipe.kind != "role"]


@pytest.fixture
def told(database: Database) -> Database:
    """A job of four images: two included, one failed, one duplicate; two leaves and a root."""
    times = {"created_at": AT, "finished_at": AT + 90}
    job = {"id": "job-1", "key": "k", "ask": "What?", "label": "receipts", "model": "m"}
    job |= {"provider": "stepfun", "endpoint": "sandbox", "account": "a", "detail": "low"}
    counts = {"submitted": 4, "included": 2, "failed": 1, "duplicate": 1}
    node = {"job_id": "job-1", "first_position": 1, "last_position": 3, "pending": 0}
    node |= {"status": "done", "started_at": AT, "finished_at": AT + 5}
    with database.write() as connection:
        connection.execute(
            insert(Job).values(
                **job, **counts, **times, status="partial", options=JobOptions(), answer="[2]"
            )
        )
        root = _id(connection, Node, **node, kind="branch", level=1, text="[2] two apples")
        leaf = _id(
            connection, Node, **node, kind="leaf", level=0, parent_id=root, text="[1] two apples"
        )
        images = [
            ("a.jpg", "included", leaf, None, None),
            ("b.jpg", "included", leaf, None, None),
            ("c.jpg", "failed", leaf, "corrupt", None),
            ("d.jpg", "duplicate", None, None, 1),
        ]
        for position, (name, status, node_id, code, twin) in enumerate(images, 1):
            connection.execute(
                insert(Image).values(
                    job_id="job-1", position=position, name=name, location=f"/{name}", root=None,
                    status=status, node_id=node_id, error_code=code, duplicate_of=twin,
                    updated_at=AT, source_sha256="s" * 64, unit=1 + (position == 3),
                    facts={"agent": name},
                    answer={1: {"fruit": "apples"}, 2: "pears"}.get(position),
                )
            )  # fmt: skip
        units = [(1, "Oak", {"rooms": 4}), (2, "Elm", None)]
        for number, name, answer in units:
            connection.execute(
                insert(Unit).values(job_id="job-1", number=number, name=name, answer=answer)
            )
        for key, status in (("1", "settled"), ("2", "unknown")):
            connection.execute(
                insert(Call).values(
                    **CALL, key=key, node_id=leaf, status=status, prompt_tokens=100,
                    completion_tokens=10, cost=0.5, settled_at=AT + 2, trace="trace-1",
                )
            )  # fmt: skip
        connection.execute(
            insert(Delivery).values(job_id="job-1", url="https://x", status="open", created_at=AT)
        )
    return database


def _id(connection: Any, table: Any, **values: Any) -> int:
    return int(connection.execute(insert(table).values(**values).returning(table.id)).scalar_one())


def ask(database: Database, sql: str) -> list[dict[str, Any]]:
    given = {name: value for name, value in VALUES.items() if f":{name}" in sql}
    with database.read() as connection:
        return [dict(row) for row in connection.execute(text(sql), given).mappings()]


@pytest.mark.parametrize("recipe", QUERIES, ids=lambda recipe: recipe.name)
def test_a_query_of_the_cookbook_returns_what_it_describes(told: Database, recipe: Recipe) -> None:
    if recipe.kind not in ("", told.engine.dialect.name):
        return  # the version for the other database is next to it
    found = ask(told, recipe.sql)
    assert bool(found) is not any(words in recipe.sql for words in EMPTY_IS_RIGHT)


def test_times_have_the_time_type(told: Database) -> None:
    row = ask(told, "SELECT created_at, seconds FROM v_jobs")[0]
    expected = "2026-09-21 14:13:20.250"
    if isinstance(row["created_at"], datetime):
        assert row["created_at"].isoformat(" ", "milliseconds") == f"{expected}+00:00"
    else:
        assert row["created_at"] == expected
    assert row["seconds"] == 90
    assert str(ask(told, "SELECT day FROM v_usage_daily")[0]["day"]) == "2026-09-21"


def test_views_count_the_requests_that_the_command_counts(told: Database) -> None:
    """Sent requests only: not those that failed before the first byte or are still in flight."""
    ends = [("failed", None), ("failed", 503), ("started", None), ("refused", 400)]
    with told.write() as connection:
        for key, (status, code) in enumerate(ends, 3):
            connection.execute(
                insert(Call).values(**CALL, key=str(key), status=status, http_status=code)
            )
        counted = pipeline.used(connection, "job-1").requests
    assert counted == 4  # with the fixture's two
    assert ask(told, "SELECT requests FROM v_jobs") == [{"requests": counted}]
    found = ask(told, "SELECT requests, settled, refused, failed FROM v_usage_daily")
    assert found == [{"requests": counted, "settled": 1, "refused": 1, "failed": 3}]


def test_a_day_counts_an_image_once_for_any_number_of_notes_about_it(
    tmp_path: Path, empty_url: str
) -> None:
    with whole(tmp_path / "home", empty_url, images_per_request=4, context_tokens=4096) as job:
        job.submit(make_files(tmp_path / "files", 20))
        while job.step():
            pass
        database = job.services.database
        assert ask(database, "SELECT images FROM v_usage_daily") == [{"images": 20}]
        notes = "SELECT DISTINCT c.images FROM v_calls c JOIN v_nodes n ON n.node = c.node"
        assert ask(database, f"{notes} WHERE n.kind = 'branch'") == [{"images": 0}]


def test_coverage_of_a_running_job_is_counted(told: Database) -> None:
    with told.write() as connection:
        connection.execute(
            update(Job).values(status="running", finished_at=None, included=0, failed=0)
        )
    row = ask(told, "SELECT included, failed, duplicate, skipped FROM v_jobs")[0]
    assert row == {"included": 2, "failed": 1, "duplicate": 1, "skipped": 0}


def test_an_image_shows_its_line_and_its_proof(told: Database) -> None:
    jobs.prove(told, "job-1", "line", 1)
    found = ask(told, "SELECT seen, note FROM v_images WHERE job = 'job-1' ORDER BY position")
    proofs = [("line", "a red barn [1]"), ("sent", None), (None, None), (None, None)]
    assert [(row["seen"], row["note"]) for row in found] == proofs
    recipe = next(recipe for recipe in QUERIES if "AS proven" in recipe.sql)
    (row,) = ask(told, recipe.sql)
    assert (row["job"], row["included"], float(row["proven"])) == ("job-1", 2, 0.5)


def test_an_image_shows_its_looks(told: Database) -> None:
    with told.write() as connection:
        for position, unclear in ((1, ["total"]), (2, [])):
            values = {"look": 2, "unclear": unclear}
            connection.execute(update(Image).where(Image.position == position).values(**values))
    recipe = next(recipe for recipe in QUERIES if "look = 2" in recipe.sql)
    found = ask(told, recipe.sql)
    assert [(row["position"], row["unclear"]) for row in found] == [(1, '["total"]'), (2, "[]")]


def test_python_reads_the_same_views(told: Database) -> None:
    with told.read() as connection:
        assert views.rows(connection, views.JOBS, 5, label="receipts")[0]["cost"] == 1.0
        assert (
            views.rows(connection, views.IMAGES, 5, job="job-1", status="failed")[0]["position"]
            == 3
        )
        assert views.failures_by_scope(connection) == {
            ("image", "corrupt"): 1,
            ("call", "unknown"): 1,
        }
        for view in views.VIEWS:
            names = set(connection.execute(text(f"SELECT * FROM {view.name}")).keys())
            assert set(view.c.keys()) <= names


def test_an_answer_is_a_text_or_json_text(told: Database) -> None:
    found = ask(told, "SELECT question, answer FROM v_answers ORDER BY position")
    assert [json.loads(found[0]["answer"]), found[1]["answer"]] == [{"fruit": "apples"}, "pears"]
    assert found[0]["question"] == "What?"


def test_a_unit_has_its_answer_counts_and_facts(told: Database) -> None:
    found = ask(told, "SELECT * FROM v_units ORDER BY number")
    assert json.loads(found[0]["answer"]) == {"rooms": 4}
    assert (found[1]["unit"], found[1]["answer"], found[1]["first_position"]) == ("Elm", None, 3)
    names = ("submitted", "included", "failed", "duplicate", "skipped")
    counts = [[row[name] for name in names] for row in found]
    assert counts == [[3, 2, 0, 1, 0], [1, 0, 1, 0, 0]]
    (image,) = ask(told, "SELECT unit, facts FROM v_images WHERE position = 3")
    assert (image["unit"], json.loads(image["facts"])) == ("Elm", {"agent": "c.jpg"})


def test_everything_is_explained_in_postgresql(told: Database) -> None:
    if told.is_sqlite:
        return
    missing = ask(
        told,
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relname LIKE 'v\\_%' AND c.relkind = 'v' AND a.attnum > 0"
        " AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)",
    )
    assert missing == []


def test_the_analysts_role_reads_views_and_nothing_else(told: Database) -> None:
    if told.is_sqlite:
        return
    role = next(recipe.sql for recipe in RECIPES if recipe.kind == "role")
    url = told.url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as owner:
        try:
            owner.execute(role.encode())
            with psycopg.connect(url, autocommit=True) as analyst:
                analyst.execute("SET SESSION AUTHORIZATION analyst")
                for view in views.VIEWS:
                    analyst.execute(f"SELECT * FROM {view.name}".encode())
                for refused in ("SELECT * FROM jobs", "SELECT * FROM calls", "DELETE FROM v_calls"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        analyst.execute(refused.encode())
        finally:
            owner.execute("DROP OWNED BY overstory_analysts; DROP ROLE analyst, overstory_analysts")
