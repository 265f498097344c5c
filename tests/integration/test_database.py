"""An unusable database or state folder: a command gives the reason in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import OverstoryError, ServiceAway
from core.settings import load
from models.engine import Database
from overstory import cli
from overstory.doctor import parts
from overstory.doctor.context import Context
from overstory.doctor.finding import Level
from overstory.local import database
from overstory.local.home import prepare_home
from workers.endpoints import database_url, read_stack


def newer(home: Path) -> None:
    database.bring_up_to_date(load())
    opened = Database(database_url(load()))
    with opened.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    opened.dispose()


def no_database(home: Path) -> None:
    (home / "overstory.db").write_text("shopping list: " + "bread, " * 100)


@pytest.mark.parametrize(
    ("spoil", "words", "remedy"),
    [
        (newer, "revision 0999", "install that version"),
        (no_database, "not a database", "restore it from a backup"),
    ],
)
def test_commands_and_doctor_report_an_unusable_database_alike(
    home: Path, spoil: Callable[[Path], None], words: str, remedy: str
) -> None:
    prepare_home(home)
    spoil(home)
    with pytest.raises(OverstoryError) as told:
        database.bring_up_to_date(load())
    assert words in str(told.value)
    assert remedy in str(told.value)
    assert database_url(load()) in str(told.value)
    context = Context.examine({})
    finding = parts.database(context)
    context.close()
    assert finding.level == Level.FAILED
    assert words in finding.says
    assert remedy in (finding.do or "")


def test_an_unavailable_database_is_reported_with_address_and_without_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OVERSTORY_DATABASE_URL", "postgresql://me:hunter22@127.0.0.1:1/db")
    with pytest.raises(ServiceAway) as told:
        database.bring_up_to_date(load())
    assert "postgresql://me:•••@127.0.0.1:1/db" in str(told.value)
    assert "hunter22" not in str(told.value)


def test_a_state_folder_that_is_a_file_is_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write_text("")
    monkeypatch.setattr(sys, "argv", ["overstory", "jobs"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"{home} is not a folder" in line


def test_a_state_folder_without_access_is_one_line(nobodys: Path) -> None:
    settings = load(home=nobodys / "closed" / "home")
    for look in (lambda: read_stack(settings.home), lambda: database_url(settings)):
        with pytest.raises(ServiceAway, match="cannot be read: Permission denied; set OVERSTORY"):
            look()
