"""``overstory token``: who may use the HTTP API from elsewhere, and what their jobs may cost."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from core.access import (
    SECRET_BYTES,
    BudgetPeriod,
    TokenBudget,
    check_name,
    hashed,
    parse_budget,
    secret_of,
)
from core.account.budget import budget_of_token
from core.catalog.models import COST_DIGITS
from core.errors import WrongUsage
from models import ledger, repair, tokens
from models.engine import Connection, Database
from models.tokens import TokenRow
from overstory.local.home import prepare_command
from overstory.options import home_option, json_option, settings_at
from overstory.output.tables import clock, print_json, stdout_console, table
from workers.endpoints import database_url

NO_BUDGET = "none"
name_argument = click.argument("name")


@click.group()
def token() -> None:
    """Create, list and revoke the tokens of the HTTP API."""


@token.command()
@name_argument
@click.option("--read-only", is_flag=True, help="It may look, and change or submit nothing.")
@click.option("--admin", is_flag=True, help="It sees the jobs of all tokens, not only its own.")
@click.option(
    "--budget", metavar="AMOUNT/PERIOD", help="The most its jobs may cost: 20/month or 5/day (UTC)."
)
@home_option
def create(name: str, read_only: bool, admin: bool, budget: str | None, home: Path | None) -> None:
    """Create a token and print its secret, which is shown only now.

    NAME tells whose jobs are whose: small letters, digits and hyphens. A name is never used twice.
    """
    check_name(name)
    bound = None if budget is None else parse_budget(budget)
    secret = secret_of(secrets.token_bytes(SECRET_BYTES))
    with _database(home).write() as connection:
        if not tokens.create(connection, name, hashed(secret), admin, read_only, bound):
            raise WrongUsage(f"NAME: there is or was a token {name!r}: give another name")
    click.echo(f"token {name}: send it as 'Authorization: Bearer ...'. Shown only now:", err=True)
    click.echo(secret)


@token.command("list")
@json_option
@home_option
def list_tokens(as_json: bool, home: Path | None) -> None:
    """List the tokens, what they may do, and what they have spent of their budget."""
    with _database(home).read() as connection:
        facts = [_facts(connection, row) for row in tokens.tokens(connection)]
    if as_json:
        print_json(facts)
    elif facts:
        drawn = table("token", "may", "budget", "created", "revoked")
        for fact in facts:
            dim = "dim" if fact["revoked_at"] else ""
            cells = (fact["name"], _may(fact), _spent(fact))
            times = (clock(at) if at else "" for at in (fact["created_at"], fact["revoked_at"]))
            drawn.add_row(*(Text(cell, dim) for cell in (*cells, *times)))
        stdout_console().print(drawn)
    else:
        click.echo("no tokens yet: 'overstory token create NAME' makes one")


@token.command()
@name_argument
@home_option
def revoke(name: str, home: Path | None) -> None:
    """Let a token in no more. Its jobs go on and stay; its name is never used again."""
    with _database(home).write() as connection:
        _known(connection, name)
        revoked = tokens.revoke(connection, name)
    click.echo(f"token {name} {'revoked' if revoked else 'was revoked before'}")


@token.command()
@name_argument
@click.argument("amount")
@home_option
def budget(name: str, amount: str, home: Path | None) -> None:
    """Change what the jobs of a token may cost: 20/month, 5/day, or none.

    Jobs that are paused for the old budget go on if the new one has room.
    """
    bound = None if amount == NO_BUDGET else parse_budget(amount)
    with _database(home).write() as connection:
        _known(connection, name)
        tokens.set_budget(connection, name, bound)
    click.echo(f"token {name}: {'no budget' if bound is None else f'budget {bound}'}")


def _database(home: Path | None) -> Database:
    settings = settings_at(home)
    prepare_command(settings)
    return Database(database_url(settings))


def _known(connection: Connection, name: str) -> None:
    if tokens.token(connection, name) is None:
        raise WrongUsage(f"NAME: there is no token {name!r}: 'overstory token list' lists them")


def _facts(connection: Connection, row: TokenRow) -> dict[str, Any]:
    """A token as JSON. ``spent``: in the budget's day or month, by currency."""
    spent: dict[str, float] = {}
    if row.token_budget is not None:
        at = repair.moment(connection)
        since = budget_of_token(at, row.name, row.token_budget).since
        spent = ledger.owner_spent(connection, row.name, since)
    rounded = {currency: round(money, COST_DIGITS) for currency, money in spent.items()}
    return {**asdict(row), "spent": rounded}


def _may(fact: dict[str, Any]) -> str:
    look = "look at all jobs" if fact["is_admin"] else "look at its own jobs"
    if fact["read_only"]:
        return look
    return "see and change all jobs" if fact["is_admin"] else "submit, and change its own jobs"


def _spent(fact: dict[str, Any]) -> str:
    if fact["budget"] is None:
        return ""
    bound = TokenBudget(fact["budget"], BudgetPeriod(fact["budget_period"]))
    spent = " + ".join(f"{money:.4f} {currency}" for currency, money in fact["spent"].items())
    return f"{spent or '0'} of {bound}"
