"""``overstory serve``: the HTTP API of this machine's service."""

from __future__ import annotations

import socket
from pathlib import Path

import click
import uvicorn

from core.errors import WrongUsage
from core.settings import Settings
from overstory.api.app import make_api
from overstory.api.connections import BoundedConnection
from overstory.api.verdict import is_loopback
from overstory.doctor.api import CREATE_ONE, any_token
from overstory.local.home import prepare_home
from overstory.local.servers.shared import with_running_sandbox
from overstory.local.stack import served_by
from overstory.local.supervisor import API_PORT
from overstory.options import home_option, sandbox_option, settings_at
from workers import heap
from workers.app import make_app
from workers.logs import configure_logs
from workers.parent import end_with_parent
from workers.services import build_services

BACKLOG = 1024
STOP_SECONDS = 5
"""For requests in flight when the service stops. Streams are cut then; their clients come back."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of this machine.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=API_PORT,
    show_default=True,
    help="Port; 0 picks a free one.",
)
@sandbox_option
@home_option
def serve(host: str, port: int, sandbox: bool, home: Path | None) -> None:
    """Serve the HTTP API and its page (part of the service).

    Jobs are submitted, watched, steered and read at /api/jobs; /docs describes it all, and
    /openapi.json for programs. The service of the same state folder or broker does the jobs:
    'overstory up' serves the API too, so only a service of several machines needs this command.
    On this machine anybody may use it; where --host is another address, every request needs a
    token ('overstory token create NAME').
    """
    settings = settings_at(home, sandbox)
    prepare_home(settings.home)
    if settings.broker_url is None and served_by(settings.home) is None:
        raise WrongUsage(
            f"no service is up for {settings.home}, so nobody would do the jobs: 'overstory up'"
            " starts one, with this API"
        )
    listening = _listen(host, port)
    _serve(with_running_sandbox(settings), listening)


def _serve(settings: Settings, listening: socket.socket) -> None:
    configure_logs(settings)
    end_with_parent()
    heap.keep_little()
    services = build_services(settings, make_app(settings))
    name, port = listening.getsockname()[:2]
    shown = f"[{name}]" if ":" in name else name
    click.echo(f"page and API: http://{shown}:{port}")
    elsewhere = not is_loopback(name)
    if elsewhere and not any_token(services.database):
        click.echo(f"no request can come in: {CREATE_ONE}", err=True)
    config = uvicorn.Config(
        make_api(services, elsewhere),
        log_config=None,
        access_log=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=STOP_SECONDS,
        http=BoundedConnection,
        ws="none",
        proxy_headers=False,  # requests through a proxy need a token anyway
        server_header=False,
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        services.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is named; without, each answer is 40 ms late
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise WrongUsage(
            f"--port {port}: {error.strerror}: give another port, or 0 for a free one"
        ) from None
    return listening
