"""Access tokens of the HTTP API, the sessions of browsers that have shown one, and shared links.

Only hashes of secrets are kept (core/access.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from core.access import BudgetPeriod, TokenBudget
from models.engine import now
from models.records import columns_of, record
from models.tables import Session, Token


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token. Times are Unix seconds; ``budget``: of each period; None: no bound of its own."""

    name: str
    is_admin: bool
    read_only: bool
    budget: float | None
    budget_period: BudgetPeriod | None
    created_at: float
    revoked_at: float | None

    @property
    def token_budget(self) -> TokenBudget | None:
        if self.budget is None or self.budget_period is None:
            return None
        return TokenBudget(self.budget, BudgetPeriod(self.budget_period))


@dataclass(frozen=True, slots=True)
class Access:
    """What the secret with ``hash`` lets in: the token ``name``, or a browser that has shown it."""

    hash: str
    name: str
    is_admin: bool
    read_only: bool


def create(
    connection: Connection,
    name: str,
    hash_: str,
    is_admin: bool,
    read_only: bool,
    budget: TokenBudget | None,
) -> bool:
    """Write a new token. False: the name was used before, perhaps by one that is revoked."""
    if token(connection, name) is not None:
        return False
    values = {"budget": None, "budget_period": None} if budget is None else _budget_values(budget)
    row = {"name": name, "hash": hash_, "is_admin": is_admin, "read_only": read_only, **values}
    connection.execute(insert(Token).values(**row, created_at=now()))
    return True


def token(connection: Connection, name: str) -> TokenRow | None:
    """The token of this name, revoked or not."""
    row = connection.execute(select(*columns_of(TokenRow, Token)).where(Token.name == name)).first()
    return None if row is None else record(TokenRow, row)


def tokens(connection: Connection) -> list[TokenRow]:
    """All tokens by name, those that are revoked last."""
    query = select(*columns_of(TokenRow, Token))
    rows = connection.execute(query.order_by(Token.revoked_at.is_not(None), Token.name))
    return [record(TokenRow, row) for row in rows]


def revoke(connection: Connection, name: str) -> bool:
    """Let a token and its browsers in no more. False: it was revoked before."""
    connection.execute(delete(Session).where(Session.token == name))
    revoked = update(Token).where(Token.name == name, Token.revoked_at.is_(None))
    return connection.execute(revoked.values(revoked_at=now())).rowcount == 1


def set_budget(connection: Connection, name: str, budget: TokenBudget | None) -> None:
    """Change what the jobs of a token may cost; None: no bound of its own."""
    values = {"budget": None, "budget_period": None} if budget is None else _budget_values(budget)
    connection.execute(update(Token).where(Token.name == name).values(**values))


def _budget_values(budget: TokenBudget) -> dict[str, object]:
    return {"budget": budget.amount, "budget_period": budget.period}
