"""``overstory serve``: the HTTP API on this machine."""

from __future__ import annotations

import socket
from pathlib import Path

import click
import structlog
import uvicorn

from core.errors import WrongUsage
from overstory.api.app import make_api
from overstory.api.guard import LOOPBACK
from overstory.local.home import prepare_command
from overstory.local.preflight import check_sandbox_is_wanted
from overstory.options import home_option, sandbox_option, settings_at
from workers.app import make_app
from workers.logs import configure_logs
from workers.services import build_services

PORT = 8700
BACKLOG = 1024
log = structlog.get_logger()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of this machine.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Port; 0 picks a free one.",
)
@sandbox_option
@home_option
def serve(host: str, port: int, sandbox: bool, home: Path | None) -> None:
    """Serve the HTTP API, for programs of this machine.

    Jobs are submitted, watched, steered and read at /api/jobs; /docs describes it all, and
    /openapi.json for programs. The jobs are done by the service of this state folder ('overstory
    up'). Anybody on this machine may use it, and nobody else.
    """
    if host not in LOOPBACK:
        raise WrongUsage(
            f"--host {host}: the API has no passwords yet, so it listens on this machine alone:"
            " use 127.0.0.1, and a proxy with a login of yours in front of it for others"
        )
    settings = settings_at(home, sandbox)
    check_sandbox_is_wanted(settings)
    configure_logs(settings)
    prepare_command(settings)
    listening = _listen(host, port)
    services = build_services(settings, make_app(settings))
    name, taken = listening.getsockname()[:2]
    shown = f"[{name}]" if ":" in name else name
    click.echo(f"API: http://{shown}:{taken}/docs")
    server = uvicorn.Server(
        uvicorn.Config(make_api(services), log_config=None, access_log=False, backlog=BACKLOG)
    )
    try:
        server.run(sockets=[listening])
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
