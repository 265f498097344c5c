"""``overstory account`` and ``overstory files``: what the account may do, and what it stores."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clients.limiter.limiter import AccountState
from core.catalog.models import STORAGE_PRICE_GB_DAY, currency_of
from core.errors import OverstoryError, ServiceAway
from core.settings import load
from models import provider_files
from overstory.job_argument import home_option
from overstory.local.home import prepare_command
from overstory.local.job_runner import planning_services
from overstory.output.terminal import safe_line
from tasks.file_store import reconcile_files, tidy
from tasks.runtime.services import Services

GB = 1e9
DAY = 86_400.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@home_option
def account(as_json: bool, home: Path | None) -> None:
    """Show what the account uses, its limits, and what was learned about them."""
    services = _services(home)
    state = _state(services)
    found = {
        "account": services.account,
        "endpoint": services.settings.endpoint,
        "tier": services.settings.tier,
        "configured": asdict(services.settings.limits),
        "state": None if state is None else asdict(state),
        "balance": _balance(services),
    }
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    _print_account(services, state, found["balance"])


def _state(services: Services) -> AccountState | None:
    """None where no stack is up: nothing is in flight. Raises ServiceAway where the server that
    keeps the limits is one of its own, for then others may be using the account."""
    settings = services.settings
    try:
        return services.limiter.state()
    except ServiceAway as error:
        if not (settings.broker_url or settings.limiter_url):
            return None
        name = "OVERSTORY_LIMITER_URL" if settings.limiter_url else "OVERSTORY_BROKER_URL"
        raise ServiceAway(f"{error}; start it, or correct {name}") from error


def _balance(services: Services) -> float | None:
    if services.settings.uses_sandbox:
        return None
    try:
        return services.provider.balance()
    except OverstoryError:
        return None


def _print_account(services: Services, state: AccountState | None, balance: object) -> None:
    console = Console()
    limits = services.settings.limits
    table = Table(title=f"account {services.account} at {services.settings.endpoint}")
    for column in ("limit", "in use", "allowed now", "configured"):
        table.add_column(column, justify="left" if column == "limit" else "right")
    rows = [
        ("calls in flight", "in_flight", "concurrency"),
        ("requests / window", "requests", "rpm"),
    ]
    rows.append(("tokens / window", "tokens", "tpm"))
    for title, used, name in rows:
        table.add_row(
            title,
            "-" if state is None else f"{getattr(state, used):,}",
            f"{getattr(state.learned if state else limits, name):,}",
            f"{getattr(limits, name):,}",
        )
    console.print(table)
    console.print(
        f"tier {services.settings.tier}, window {services.settings.limit_window_seconds:g} s"
    )
    if balance is not None:
        console.print(f"balance {balance:.2f}")
    if state is not None and state.paused:
        console.print(Text(f"paused: {safe_line(state.paused)}", "bold"))
    if state is not None and state.binds is not None:
        console.print(f"binding now: {state.binds}")


@click.group()
def files() -> None:
    """The provider's file store: what is there, and what may go."""


@files.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@home_option
def list_files(as_json: bool, home: Path | None) -> None:
    """List stored files, the share of the quota they take, and what storage has cost."""
    services = _services(home)
    with services.database.read() as connection:
        rows = provider_files.listed(connection, services.account)
        gb_days = provider_files.byte_seconds(connection, services.account) / GB / DAY
    currency = currency_of(services.settings.base_url)
    money = gb_days * STORAGE_PRICE_GB_DAY[currency]
    if as_json:
        found: dict[str, Any] = {
            "files": [asdict(row) for row in rows],
            "quota": services.settings.files_max,
            "gb_days": gb_days,
            "cost": money,
            "currency": currency,
        }
        click.echo(json.dumps(found))
        return
    for row in rows:
        age = (row.seconds or 0.0) / 3600
        click.echo(f"{row.file_id}  {row.bytes:>10,} bytes  {age:6.1f} h  {row.sha256[:16]}")
    size = sum(row.bytes for row in rows)
    click.echo(
        f"{len(rows)} of {services.settings.files_max} files, {size / 1e6:.1f} MB stored now;"
    )
    click.echo(f"{gb_days:.6f} GB-days so far, {money:.6f} {currency}")


@files.command()
@home_option
def gc(home: Path | None) -> None:
    """Adopt files of ours that nobody recorded, forget what is gone, delete what no job needs."""
    services = _services(home)
    found = reconcile_files(services, time.time())
    deleted = 0
    while count := tidy(services):
        deleted += count
    click.echo(
        f"adopted {found.adopted}, forgot {found.vanished}, deleted {deleted + found.doubled};"
        f" {found.foreign} files of others left alone"
    )


def _services(home: Path | None) -> Services:
    settings = load(**({"home": home} if home else {}))
    prepare_command(settings)
    return planning_services(settings)
