"""``overstory migrate | reconciler``: the parts of a service that are no Celery workers."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import click

import migrations
from core.errors import ServiceAway
from core.settings import Settings, load
from models.engine import Database
from overstory.commands.control import home_option
from overstory.embedded import prepare_home
from tasks.maintenance import TICK_SECONDS, Reconciler
from workers.app import make_app
from workers.logs import configure_logs
from workers.parent import end_with_parent
from workers.services import build_services
from workers.stack import database_url

MIGRATE_SECONDS = 60.0
"""How long ``migrate`` waits for a database that is still starting."""
SILENT_SECONDS = 30.0
"""A reconciler that has not finished a round for so long is unhealthy."""


@click.command()
@home_option
def migrate(home: Path | None) -> None:
    """Bring the database up to this version's tables and views; safe to run twice at once."""
    settings = _settings(home)
    configure_logs(settings)
    url = database_url(settings)
    deadline = time.monotonic() + MIGRATE_SECONDS
    while True:
        try:
            migrations.upgrade(url)
            break
        except ServiceAway:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
    database = Database(url)
    try:
        click.echo(f"the database is at revision {migrations.revision(database)}")
    finally:
        database.dispose()


@click.command()
@click.option("--check", is_flag=True, help="Exit 0 if the one on this machine is at work, else 1.")
@home_option
def reconciler(check: bool, home: Path | None) -> None:
    """Own whatever lost its owner: re-send, reclaim, finish. Runs until it is stopped.

    It does none of the workers' work and may run in several places at once.
    """
    settings = _settings(home)
    beat = settings.home / "run" / f"reconciler-{socket.gethostname()}.beat"
    if check:
        raise SystemExit(0 if _beats(beat) else 1)
    configure_logs(settings)
    end_with_parent()
    services = build_services(settings, make_app(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: services.stopping.set())
    rounds = Reconciler(services)
    try:
        while not services.stopping.wait(TICK_SECONDS):
            rounds.tick()
            beat.touch()
    finally:
        beat.unlink(missing_ok=True)
        services.database.dispose()


def _beats(beat: Path) -> bool:
    try:
        return time.time() - beat.stat().st_mtime < SILENT_SECONDS
    except FileNotFoundError:
        return False


def _settings(home: Path | None) -> Settings:
    settings = load(**({"home": home} if home else {}))
    prepare_home(settings.home)
    return settings
