"""Shared fixtures of the integration tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import migrations
from core.settings import load
from models.engine import Database
from tests.support.account import open_account
from tests.support.web_server import server
from workers.endpoints import database_url

__all__ = ["open_account", "own", "server"]


@pytest.fixture
def own(home: Path) -> Iterator[Database]:
    """The database that a command uses with this state folder."""
    home.mkdir()
    url = database_url(load())
    migrations.upgrade(url)
    database = Database(url)
    yield database
    database.dispose()
