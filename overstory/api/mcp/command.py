"""``overstory mcp``: the MCP server over stdin and stdout."""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from core.errors import WrongUsage
from overstory.api.mcp import INSTALL
from overstory.local.home import prepare_home
from overstory.options import home_option, sandbox_option, settings_at
from workers.logs import configure_logs


@click.command()
@sandbox_option
@home_option
def mcp(sandbox: bool, home: Path | None) -> None:
    """Serve agents over stdin and stdout, by the Model Context Protocol.

    An agent's host starts this command: docs/mcp.md has the lines of its configuration. The service
    of the same state folder does the jobs ('overstory up --detach'). Images may be all files that
    you can read. Nothing that costs more than OVERSTORY_CONFIRM_ABOVE is started without a budget.
    """
    if find_spec("mcp") is None:
        raise WrongUsage(f"MCP needs its SDK: {INSTALL}")
    settings = settings_at(home, sandbox)
    prepare_home(settings.home)
    configure_logs(settings)
    from overstory.api.mcp.home import OwnAgents
    from overstory.api.mcp.server import make_server

    if sys.stdin.isatty():
        click.echo("An agent's host starts this command and speaks on its stdin.", err=True)
    agents = OwnAgents(settings)
    try:
        asyncio.run(make_server(agents.agent).run_stdio_async())
    finally:
        agents.close()
