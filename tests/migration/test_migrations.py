"""Migrations match the models: up, down, and from two processes at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select

import migrations
from core.errors import ServiceAway
from migrations import snapshot
from models import ledger
from models.engine import Database
from models.ledger import NewCall
from models.tables import Base, Call, Node
from tests.support import jobs

CONTRACT = {"jobs", "images", "nodes", "calls", "files", "events"}


@pytest.fixture
def empty(empty_url):
    database = Database(empty_url)
    yield database
    database.dispose()


def differences(database: Database) -> list[object]:
    with database.engine.connect() as connection:
        options = {"compare_type": True, "include_object": _is_for(database)}
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)


def _is_for(database: Database) -> Callable[..., bool]:
    """Alembic does not know that an index may be one database's alone."""
    dialect = database.engine.dialect.name

    def included(found: Any, name: str, kind: str, reflected: bool, *_: object) -> bool:
        only = getattr(found, "_ddl_if", None)
        return kind != "index" or reflected or only is None or only.dialect == dialect

    return included


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names()) - {"alembic_version"}


def test_the_models_match_the_migrated_schema(database):
    assert differences(database) == []
    assert migrations.is_current(database)
    assert tables(database) >= CONTRACT


def test_the_newest_revision_is_known_without_alembic():
    scripts = ScriptDirectory.from_config(migrations.configuration("sqlite://"))
    assert migrations.newest() == scripts.get_current_head()
    told = "import migrations, sys; migrations.newest(); print('alembic' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", told], text=True).strip() == "False"


def test_a_new_sqlite_file_has_the_migrated_schema(home):
    assert snapshot.SCRIPT.read_text("utf-8") == snapshot.taken(), "make schema"


def test_a_new_file_needs_no_alembic(home):
    home.mkdir()
    url = f"sqlite:///{home / 'new.db'}"
    told = "import migrations as m, sys; m.upgrade(sys.argv[1]); print('alembic' in sys.modules)"
    words = [sys.executable, "-c", told, url]
    assert subprocess.check_output(words, text=True).strip() == "False"
    database = Database(url)
    assert migrations.is_current(database)
    assert differences(database) == []
    database.dispose()


def test_migrating_step_by_step_gives_the_same_schema(empty):
    migrations.migrate(empty.url)
    assert migrations.is_current(empty)
    assert differences(empty) == []


def test_a_database_of_an_older_release_is_migrated(empty):
    migrations.upgrade(empty.url, "0001")
    assert not snapshot.restored(empty.url)
    migrations.upgrade(empty.url)
    assert migrations.is_current(empty)
    assert differences(empty) == []


def test_an_empty_database_is_migrated_and_a_current_one_is_unchanged(empty):
    assert not migrations.is_current(empty)
    migrations.upgrade(empty.url)
    job = jobs.submit(empty, [1])
    migrations.upgrade(empty.url)
    assert differences(empty) == []
    assert jobs.the_job(empty, job).status == "running"


def test_all_migrations_can_be_undone_and_redone(empty):
    migrations.upgrade(empty.url)
    command.downgrade(migrations.configuration(empty.url), "base")
    assert tables(empty) == set()
    assert inspect(empty.engine).get_view_names() == []
    migrations.upgrade(empty.url)
    assert differences(empty) == []


def test_each_migration_can_be_undone_and_redone(empty):
    script = ScriptDirectory.from_config(migrations.configuration(empty.url))
    for revision in reversed([r.revision for r in script.walk_revisions()]):
        migrations.upgrade(empty.url, revision)
        command.downgrade(migrations.configuration(empty.url), "-1")
        migrations.upgrade(empty.url, revision)
    assert differences(empty) == []


def test_the_migration_sets_the_images_of_branch_calls_to_zero(empty):
    migrations.upgrade(empty.url)
    job = jobs.submit(empty, [2, 1])
    jobs.finish_all(empty, jobs.upload_all(empty, job))
    root = jobs.root_of(empty, job)
    with empty.write() as connection:
        for node in jobs.rows(connection, Node, job):
            new = NewCall(f"key-{node.id}", job, node.id, "a", "m", node.images, 9, "USD")
            assert ledger.open_call(connection, new, jobs.lease())
    config = migrations.configuration(empty.url)
    for revision, of_root in (("0009", 3), ("0010", 0), ("0009", 3)):
        way = command.downgrade if revision == "0009" else command.upgrade
        way(config, revision)
        with empty.read() as connection:  # without the columns that later steps add
            of_job = select(Call.node_id, Call.images).where(Call.job_id == job)
            shown = dict(connection.execute(of_job).all())
        assert shown.pop(root) == of_root
        assert sorted(shown.values()) == [1, 2]


def test_migrations_are_numbered_and_linear(home):
    script = ScriptDirectory.from_config(migrations.configuration("sqlite://"))
    revisions = [revision.revision for revision in script.walk_revisions()]
    assert len(script.get_heads()) == 1
    assert sorted(revisions) == [f"{n:04}" for n in range(1, len(revisions) + 1)]


def test_parallel_migrations_all_succeed(empty):
    words = [sys.executable, "-c", "import sys, migrations; migrations.upgrade(sys.argv[1])"]
    running = [
        subprocess.Popen([*words, empty.url], stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    errors = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], errors
    assert differences(empty) == []


def test_an_unavailable_database_raises_service_away(home):
    with pytest.raises(ServiceAway, match="database"):
        migrations.upgrade("postgresql+psycopg://nobody@127.0.0.1:1/none")
