"""``overstory account`` and ``overstory files``: the account's limits and its stored files."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clients.limiter.limiter import AccountState
from core.account.budget import account_budgets, plain
from core.catalog.models import STORAGE_PRICE_GB_DAY, currency_of
from core.catalog.tiers import shown
from core.errors import OverstoryError, ServiceAway
from models import endpoint_limits, ledger, provider_files, repair
from models.engine import Connection
from overstory.local.home import prepare_command
from overstory.local.job_runner import planning_services
from overstory.options import home_option, json_option, settings_at
from overstory.output.held_by import auto_line, held_by
from overstory.output.plural import pluralize
from overstory.output.terminal import json_line, safe_line
from tasks.file_store import reconcile_files, tidy
from tasks.runtime.services import Services

GB = 1e9
DAY = 86_400.0


@click.command()
@json_option
@home_option
def account(as_json: bool, home: Path | None) -> None:
    """Show the account's usage, limits, balance and spending.

    "allowed now" falls below "configured" after replies with status 429 (too many requests). Limits
    of one request that the endpoint's refusals have shown follow; 'doctor --forget' forgets them.
    """
    services = _services(home)
    state = _state(services)
    with services.database.read() as connection:
        learned = endpoint_limits.listed(connection, services.settings.endpoint)
        spending = _spending(services, connection)
    facts = {
        "account": services.account,
        "endpoint": services.settings.endpoint,
        "tier": services.settings.tier_name,
        "configured": asdict(services.settings.limits),
        "state": None if state is None else asdict(state),
        "balance": _balance(services),
        "spending": spending,
        "learned_limits": [asdict(limit) for limit in learned],
    }
    if as_json:
        click.echo(json_line(facts))
        return
    _print_account(services, state, facts["balance"])
    for name, period in spending.items():
        click.echo(_spent(services, name, period))
    for limit in learned:
        click.echo(safe_line(limit.sentence))


def _spending(services: Services, connection: Connection) -> dict[str, dict[str, Any]]:
    """What calls of today and of this month (UTC) have cost, and may cost that are in flight."""
    settings = services.settings
    currency = settings.price_of(settings.model).currency
    limits = {"day": settings.budget_day, "month": settings.budget_month}
    periods = account_budgets(repair.moment(connection), math.inf, math.inf)
    spending = {}
    for (name, limit), period in zip(limits.items(), periods, strict=True):
        money = ledger.account_money(connection, services.account, currency, period.since)
        spending[name] = {
            "period": period.period,
            "spent": round(money.spent, 6),
            "held": round(money.held, 6),
            "budget": limit,
            "currency": currency,
        }
    return spending


def _spent(services: Services, name: str, period: dict[str, Any]) -> str:
    title = {"day": "today", "month": "this month"}[name]
    charged = ", not charged: sandbox" if services.settings.uses_sandbox else ""
    held = f", {period['held']:.4f} held for calls in flight" if period["held"] else ""
    budget = f"of {plain(period['budget'])} " if period["budget"] is not None else ""
    return (
        f"spent {title} ({period['period']} UTC{charged}):"
        f" {period['spent']:.4f} {budget}{period['currency']}{held}"
    )


def _state(services: Services) -> AccountState | None:
    """None if no embedded stack is up: then nothing is in flight. Raises ServiceAway if a
    configured server does not answer: then others may be using the account."""
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
            shown(getattr(state.learned if state else limits, name)),
            shown(getattr(limits, name)),
        )
    console.print(table)
    console.print(
        f"tier {services.settings.tier_name}, window {services.settings.limit_window_seconds:g} s"
    )
    if balance is not None:
        console.print(f"balance {balance:.2f}")
    waiting = held_by(state)
    if (auto := auto_line(state)) and auto not in waiting:
        console.print(auto)
    if waiting:
        console.print(Text(safe_line(waiting), "bold"))


@click.group()
def files() -> None:
    """List and clean up the provider's file store."""


@files.command("list")
@json_option
@home_option
def list_files(as_json: bool, home: Path | None) -> None:
    """List the stored files, the quota and the cost of storage."""
    services = _services(home)
    with services.database.read() as connection:
        rows = provider_files.listed(connection, services.account)
        gb_days = provider_files.byte_seconds(connection, services.account) / GB / DAY
    currency = currency_of(services.settings.base_url)
    money = gb_days * STORAGE_PRICE_GB_DAY[currency]
    if as_json:
        facts: dict[str, Any] = {
            "files": [asdict(row) for row in rows],
            "quota": services.settings.files_max,
            "gb_days": gb_days,
            "cost": money,
            "currency": currency,
        }
        click.echo(json_line(facts))
        return
    for row in rows:
        age = (row.seconds or 0.0) / 3600
        click.echo(f"{row.file_id}  {row.bytes:>10,} bytes  {age:6.1f} h  {row.sha256[:16]}")
    size = sum(row.bytes for row in rows)
    click.echo(
        f"{len(rows)} of {services.settings.files_max} files, {size / 1e6:.1f} MB stored now"
    )
    click.echo(f"{gb_days:.6f} GB-days stored so far, {money:.6f} {currency}")


@files.command()
@home_option
def gc(home: Path | None) -> None:
    """Delete stored files that no job needs.

    Also records uploads that are missing in the database, and forgets recorded files that are
    gone. Files that Overstory did not upload stay.
    """
    services = _services(home)
    reconciled = reconcile_files(services, time.time())
    deleted = 0
    while count := tidy(services):
        deleted += count
    click.echo(
        f"recorded {reconciled.adopted}, forgot {reconciled.vanished}, deleted"
        f" {deleted + reconciled.doubled}; kept {pluralize(reconciled.foreign, 'file')} of others"
    )


def _services(home: Path | None) -> Services:
    settings = settings_at(home)
    prepare_command(settings)
    return planning_services(settings)
