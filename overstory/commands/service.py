"""``overstory up | down | migrate | reconciler``: the service and its parts except workers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import click
import structlog

import migrations
from clients import private_files
from core.errors import DatabaseUnusable, ServiceAway, ServiceRefuses
from core.settings import Settings
from models.engine import Database
from overstory.local.database import bring_up_to_date, check_writable
from overstory.local.health import HEALTHY_SECONDS, beat_file, is_healthy
from overstory.local.home import prepare_home
from overstory.local.preflight import START_IT, check_sandbox_is_wanted
from overstory.local.servers import processes
from overstory.local.stack import is_service, served_by
from overstory.local.supervisor import API_PORT, FLOWER_PORT, PortWanted, Supervisor, end_left
from overstory.options import home_option, sandbox_option, settings_at
from tasks.upkeep.reconciler import TICK_SECONDS, Reconciler
from tasks.upkeep.webhooks import notifier_of
from workers.app import make_app
from workers.broker_health import passing_trouble
from workers.endpoints import broker_url, database_url, read_stack
from workers.logs import configure_logs
from workers.metrics import export
from workers.parent import end_with_parent
from workers.services import build_services

log = structlog.get_logger()

MIGRATE_SECONDS = 60.0
"""``migrate`` waits this long for a database that is still starting."""
UP_SECONDS = HEALTHY_SECONDS + 30.0
DOWN_SECONDS = 30.0
NOW_SECONDS = 0.5
SILENT_SECONDS = 30.0
"""A reconciler is unhealthy if it has not finished a round for this long."""


@click.command()
@click.option(
    "--flower-port",
    type=click.IntRange(0, 65535),
    help="Port of the Flower dashboard; 0 picks a free one. Default:"
    f" {FLOWER_PORT}, or a free one if that is taken.",
)
@click.option("--no-flower", is_flag=True, help="Run without the Flower dashboard.")
@click.option(
    "--api-port",
    type=click.IntRange(0, 65535),
    help="Port of the HTTP API and its page; 0 picks a free one. Default:"
    f" {API_PORT}, or a free one if that is taken.",
)
@click.option("--no-api", is_flag=True, help="Run without the HTTP API.")
@click.option("--detach", "-d", is_flag=True, help="Return when it is up; 'down' stops it.")
@sandbox_option
@home_option
def up(
    flower_port: int | None,
    no_flower: bool,
    api_port: int | None,
    no_api: bool,
    detach: bool,
    sandbox: bool,
    home: Path | None,
) -> None:
    """Run the whole service on this machine, without Docker.

    Starts broker, workers, reconciler, Flower and the HTTP API with its page, and restarts each
    when it dies. Each writes a log in the state folder. 'overstory run' with the same state folder
    uses this service.
    """
    settings = _settings(home, sandbox)
    database_url(settings)  # a home whose database we do not run any more is refused here
    check_sandbox_is_wanted(settings)
    flower = None if no_flower else _port("flower", flower_port, FLOWER_PORT)
    api = None if no_api else _port("api", api_port, API_PORT)
    if detach:
        _up_detached(settings, flower, api)
        return
    configure_logs(settings)
    supervisor = Supervisor(settings, flower, api)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.ask_to_stop)
    supervisor.run()


def _port(part: str, given: int | None, usual: int) -> PortWanted:
    return PortWanted(part, usual if given is None else given, given is not None)


def _port_options(part: str, wanted: PortWanted | None) -> list[str]:
    if wanted is None:
        return [f"--no-{part}"]
    return [f"--{part}-port", str(wanted.port)] if wanted.given else []


def _up_detached(settings: Settings, flower: PortWanted | None, api: PortWanted | None) -> None:
    command = [sys.executable, "-P", "-m", "overstory", "up", "--home", str(settings.home)]
    command += [*_port_options("flower", flower), *_port_options("api", api)]
    command += ["--sandbox"] if settings.uses_sandbox else []  # a person has seen that it answers
    try:
        trouble = passing_trouble(settings)
    except ServiceRefuses as error:
        raise ServiceAway(f"the service was not started: {error}") from None
    if isinstance(trouble, ServiceRefuses):
        click.echo(f"waiting: {trouble}", err=True)
    elif trouble is not None:
        raise ServiceAway(f"the service was not started: {trouble}: {START_IT}")
    log_file = settings.home / "logs" / "service.log"
    begin = log_file.stat().st_size if log_file.exists() else 0
    with private_files.log_file(log_file) as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    deadline = time.monotonic() + UP_SECONDS
    while not is_healthy(settings.home, process.pid):
        if process.poll() is not None or time.monotonic() > deadline:
            lines = log_file.read_bytes()[begin:].decode("utf-8", "replace").strip().splitlines()
            _end(process)
            trouble = passing_trouble(settings)
            said = lines[-1].removeprefix("overstory: ") if lines else f"see {log_file}"
            said = said if trouble is None else str(trouble)
            raise ServiceAway(f"the service did not start: {said}")
        time.sleep(0.05)
    stack = read_stack(settings.home)
    click.echo(f"up: process {process.pid}, logs in {log_file.parent}")
    if stack is not None:
        _say_url("page and API", stack.api_url, api)
        _say_url("Flower", stack.flower_url, flower)
    if not settings.broker_url:  # a configured URL may hold a password, and is known anyway
        click.echo(f"broker for apps of this user on this machine: {broker_url(settings)}")


def _say_url(name: str, url: str | None, wanted: PortWanted | None) -> None:
    if url is not None and wanted is not None:
        another = not wanted.given and urlsplit(url).port != wanted.port
        click.echo(f"{name}: {url}" + (f" ({wanted.port} is taken)" * another))


@click.command()
@click.option("--now", is_flag=True, help="Do not wait for requests; they are paid again later.")
@home_option
def down(now: bool, home: Path | None) -> None:
    """Stop the service of this state folder.

    The next 'up' or 'run' continues unfinished jobs. If the service was killed, this ends the
    processes it left behind.
    """
    settings = _settings(home)
    pid = served_by(settings.home)
    if pid is None:
        left = end_left(settings.home)
        click.echo(
            "no service is up" + (f"; ended what it left: {', '.join(left)}" if left else "")
        )
        return
    born = processes.born(pid)
    os.kill(pid, signal.SIGTERM)
    if not _ends(pid, born, NOW_SECONDS if now else settings.soft_shutdown_seconds + DOWN_SECONDS):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if not _ends(pid, born, DOWN_SECONDS):
            raise ServiceAway(f"process {pid} does not stop: kill it, and its parts stop too")
    click.echo("down")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop a service that does not come up, and what it has started."""
    process.terminate()
    try:
        process.wait(DOWN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ends(pid: int, born: int | None, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not is_service(pid, born):
            return True
        time.sleep(0.05)
    return False


@click.command()
@home_option
def migrate(home: Path | None) -> None:
    """Bring the database schema up to this version.

    Several processes may run this at the same time.
    """
    settings = _settings(home)
    configure_logs(settings)
    deadline = time.monotonic() + MIGRATE_SECONDS
    while True:
        try:
            bring_up_to_date(settings)
            check_writable(settings)
            break
        except DatabaseUnusable:
            raise
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
@click.option("--check", is_flag=True, help="Only exit with 0 if one works here, else with 1.")
@home_option
def reconciler(check: bool, home: Path | None) -> None:
    """Repair lost work until stopped (part of the service).

    Sends lost messages again, takes over the work of dead workers and finishes what is complete.
    It does no work of the stages itself. Several may run at the same time.
    """
    settings = _settings(home)
    beat = beat_file(settings.home)
    if check:
        raise SystemExit(0 if _beats(beat) else 1)
    configure_logs(settings)
    end_with_parent()
    services = build_services(settings, make_app(settings))
    if (trouble := passing_trouble(settings)) is not None:
        log.warning("reconciler.waits", error=str(trouble))
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
            os.close(private_files.opened(beat, os.O_WRONLY | os.O_CREAT))
            os.utime(beat, follow_symlinks=False)
    finally:
        beat.unlink(missing_ok=True)
        if metrics is not None:
            metrics.shutdown()
            metrics.server_close()
        services.close()


def _beats(beat: Path) -> bool:
    try:
        return time.time() - beat.lstat().st_mtime < SILENT_SECONDS
    except FileNotFoundError:
        return False


def _settings(home: Path | None, sandbox: bool = False) -> Settings:
    settings = settings_at(home, sandbox)
    prepare_home(settings.home)
    return settings
