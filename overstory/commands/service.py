"""``overstory up | down | migrate | reconciler``: the service, and its parts beside the workers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import click

import migrations
from core.errors import ServiceAway
from core.settings import Settings, load
from models.engine import Database
from overstory.job_argument import home_option
from overstory.local.database import bring_up_to_date
from overstory.local.home import prepare_home
from overstory.local.stack import is_service, served_by
from overstory.local.supervisor import FLOWER_PORT, Supervisor, end_left
from tasks.upkeep.reconciler import TICK_SECONDS, Reconciler
from tasks.upkeep.webhooks import notifier_of
from workers.app import make_app
from workers.endpoints import broker_url, database_url, read_stack
from workers.logs import configure_logs
from workers.metrics import export
from workers.parent import end_with_parent
from workers.services import build_services

MIGRATE_SECONDS = 60.0
"""How long ``migrate`` waits for a database that is still starting."""
UP_SECONDS = 60.0
DOWN_SECONDS = 30.0
NOW_SECONDS = 0.5
SILENT_SECONDS = 30.0
"""A reconciler that has not finished a round for so long is unhealthy."""


@click.command()
@click.option("--postgres", is_flag=True, help="With a PostgreSQL of its own, in the state folder.")
@click.option(
    "--flower-port",
    type=click.IntRange(0, 65535),
    help=f"The dashboard's; 0 for any.  [default: {FLOWER_PORT}, or any where that is taken]",
)
@click.option("--no-flower", is_flag=True, help="Without the dashboard.")
@click.option("--detach", "-d", is_flag=True, help="Return when it is up; ``down`` stops it.")
@home_option
def up(
    postgres: bool, flower_port: int | None, no_flower: bool, detach: bool, home: Path | None
) -> None:
    """Run the whole service on this machine and keep it running, without Docker.

    Broker, workers, reconciler and Flower, each started again when it dies, each with its log in
    the state folder. ``overstory run`` with the same state folder uses it.
    """
    settings = _settings(home)
    if detach:
        _up_detached(settings, postgres, no_flower, flower_port)
        return
    configure_logs(settings)
    wanted = FLOWER_PORT if flower_port is None else flower_port
    any_port = flower_port is None
    supervisor = Supervisor(settings, postgres, None if no_flower else wanted, any_port)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.ask_to_stop)
    supervisor.run()


def _up_detached(
    settings: Settings, postgres: bool, no_flower: bool, flower_port: int | None
) -> None:
    words = [sys.executable, "-m", "overstory", "up", "--home", str(settings.home)]
    words += ["--postgres"] if postgres else []
    words += ["--no-flower"] if no_flower else []
    words += [] if flower_port is None else ["--flower-port", str(flower_port)]
    log = settings.home / "logs" / "service.log"
    begin = log.stat().st_size if log.exists() else 0
    with log.open("ab") as out:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    deadline = time.monotonic() + UP_SECONDS
    while served_by(settings.home) != process.pid:
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_bytes()[begin:].decode("utf-8", "replace").strip().splitlines()
            raise ServiceAway(f"the service did not start: {said[-1] if said else f'see {log}'}")
        time.sleep(0.05)
    stack = read_stack(settings.home)
    click.echo(f"up: process {process.pid}, logs in {log.parent}")
    if stack is not None and stack.flower_url:
        another = flower_port is None and urlsplit(stack.flower_url).port != FLOWER_PORT
        click.echo(f"Flower: {stack.flower_url}" + (f" ({FLOWER_PORT} is taken)" * another))
    if not settings.broker_url:  # one of its own may hold a password, and is known to who set it
        click.echo(f"broker, for apps of this user on this machine: {broker_url(settings)}")


@click.command()
@click.option("--now", is_flag=True, help="Do not wait for calls in flight; they are paid again.")
@home_option
def down(now: bool, home: Path | None) -> None:
    """Stop the service of this state folder; what is not done goes on with the next one.

    Where its process was killed, what that left running is ended.
    """
    settings = _settings(home)
    pid = served_by(settings.home)
    if pid is None:
        left = end_left(settings.home)
        click.echo(
            "no service is up" + (f"; ended what was left: {', '.join(left)}" if left else "")
        )
        return
    os.kill(pid, signal.SIGTERM)
    if not _ends(pid, NOW_SECONDS if now else settings.soft_shutdown_seconds + DOWN_SECONDS):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if not _ends(pid, DOWN_SECONDS):
            raise ServiceAway(f"process {pid} does not end; its parts end when it is killed")
    click.echo("down")


def _ends(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not is_service(pid):
            return True
        time.sleep(0.05)
    return False


@click.command()
@home_option
def migrate(home: Path | None) -> None:
    """Bring the database up to this version's tables and views; safe to run twice at once."""
    settings = _settings(home)
    configure_logs(settings)
    deadline = time.monotonic() + MIGRATE_SECONDS
    while True:
        try:
            bring_up_to_date(settings)
            break
        except ServiceAway:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
    database = Database(database_url(settings))
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
    notifier = notifier_of(services)
    if notifier is not None:
        notifier.start()
    metrics = export(services)
    try:
        while not services.stopping.wait(TICK_SECONDS):
            rounds.round()
            beat.touch()
    finally:
        beat.unlink(missing_ok=True)
        if metrics is not None:
            metrics.shutdown()
            metrics.server_close()
        services.close()


def _beats(beat: Path) -> bool:
    try:
        return time.time() - beat.stat().st_mtime < SILENT_SECONDS
    except FileNotFoundError:
        return False


def _settings(home: Path | None) -> Settings:
    settings = load(**({"home": home} if home else {}))
    prepare_home(settings.home)
    return settings
