"""A state folder whose path has characters that mean something in a URL, a pattern or a file of
settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Celery

from core.settings import load
from models.engine import Database, sqlite_file
from overstory.local.database import bring_up_to_date
from overstory.local.home import prepare_home
from overstory.local.stack import LocalStack
from tests.support.command import Person
from workers.endpoints import broker_url, database_url, limiter_url

ODD = [
    "a?b#c",
    "100%41",
    'say "x"',
    "it's",
    "naïve 猫",
    "a&b=c",
    "back\\slash",
    "[x]*",
    "a@b:c",
    "a+b",
]


@pytest.mark.parametrize("name", ODD)
def test_the_database_is_in_the_home(name: str, tmp_path: Path) -> None:
    home = tmp_path / name
    settings = load(home=home)
    prepare_home(home)
    bring_up_to_date(settings)
    url = database_url(settings)
    assert (home / "overstory.db").exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert sqlite_file(url) == home / "overstory.db"
    database = Database(url)
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar() == 0
    database.dispose()


@pytest.mark.parametrize("name", ['a?b#c%41"d', "naïve\\[x]*'"])
def test_broker_and_limiter_are_in_the_home(name: str, tmp_path: Path) -> None:
    settings = load(home=tmp_path / name)
    stack = LocalStack(settings)
    try:
        stack.start()
        assert (settings.home / "broker" / "appendonlydir").is_dir()
        with Celery(broker=broker_url(settings)).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
        assert limiter_url(settings).endswith("?virtual_host=1")
    finally:
        stack.stop()


def test_a_run_works_in_such_a_home(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    person = Person(tmp_path / 'a?b#c%41"d é', tmp_path)
    try:
        ran = person.run(make_images(2))
    finally:
        person.clean_up()
    assert ran.status == 0, ran.err
