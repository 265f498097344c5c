"""Access tokens of the HTTP API, the sessions of browsers that have shown one, and shared links.

Only hashes of secrets are kept (core/access.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.access import BudgetPeriod, TokenBudget
from models.engine import now
from models.records import columns_of, record
from models.tables import Session, Share, Token

EXPIRED_SHOWN_SECONDS = 90 * 86_400.0
"""A link that expired is told from one that never was for so long."""


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


def create(
    connection: Connection,
    name: str,
    hash_: str,
    is_admin: bool,
    read_only: bool,
    budget: TokenBudget | None,
) -> bool:
    """Write a new token. False: the name was used before, perhaps by one that is revoked."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    row = {"name": name, "hash": hash_, "is_admin": is_admin, "read_only": read_only}
    written = (
        dialect.insert(Token)
        .values(**row, **_budget_values(budget), created_at=now())
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(Token.name)
    )
    return connection.execute(written).first() is not None


def token(connection: Connection, name: str) -> TokenRow | None:
    """The token of this name, revoked or not."""
    row = connection.execute(select(*columns_of(TokenRow, Token)).where(Token.name == name)).first()
    return None if row is None else record(TokenRow, row)


def tokens(connection: Connection) -> list[TokenRow]:
    """All tokens by name, those that are revoked last."""
    query = select(*columns_of(TokenRow, Token))
    rows = connection.execute(query.order_by(Token.revoked_at.is_not(None), Token.name))
    return [record(TokenRow, row) for row in rows]


def active(connection: Connection) -> int:
    """The number of tokens that are not revoked."""
    count = select(func.count()).select_from(Token).where(Token.revoked_at.is_(None))
    return connection.execute(count).scalar_one()


def revoke(connection: Connection, name: str) -> bool:
    """Let a token and its browsers in no more. False: it was revoked before."""
    connection.execute(delete(Session).where(Session.token == name))
    revoked = update(Token).where(Token.name == name, Token.revoked_at.is_(None))
    return connection.execute(revoked.values(revoked_at=now())).rowcount == 1


def set_budget(connection: Connection, name: str, budget: TokenBudget | None) -> None:
    """Change what the jobs of a token may cost; None: no bound of its own."""
    changed = update(Token).where(Token.name == name)
    connection.execute(changed.values(**_budget_values(budget)))


def _budget_values(budget: TokenBudget | None) -> dict[str, Any]:
    if budget is None:
        return {"budget": None, "budget_period": None}
    return {"budget": budget.amount, "budget_period": budget.period}


@dataclass(frozen=True, slots=True)
class Access:
    """What the secret with ``hash`` lets in: the token ``name``, or a browser that has shown it."""

    hash: str
    name: str
    is_admin: bool
    read_only: bool


def accesses(connection: Connection) -> list[Access]:
    """All that is neither revoked nor expired."""
    columns = (Token.name, Token.is_admin, Token.read_only)
    own = select(Token.hash, *columns).where(Token.revoked_at.is_(None))
    shown = (
        select(Session.hash, *columns)
        .join(Token, Token.name == Session.token)
        .where(Token.revoked_at.is_(None), Session.expires_at > now())
    )
    return [record(Access, row) for row in connection.execute(own.union_all(shown))]


def open_session(connection: Connection, name: str, hash_: str, seconds: float) -> None:
    """Let a browser in as the token ``name`` for ``seconds``. Forgets sessions that have ended."""
    connection.execute(delete(Session).where(Session.expires_at <= now()))
    values = {"hash": hash_, "token": name, "expires_at": now() + seconds}
    connection.execute(insert(Session).values(**values))


def close_session(connection: Connection, hash_: str) -> None:
    connection.execute(delete(Session).where(Session.hash == hash_))


@dataclass(frozen=True, slots=True)
class ShareRow:
    """A link to the report of a job. ``seconds``: until it expires; negative: since then."""

    job_id: str
    seconds: float


def open_share(connection: Connection, job_id: str, hash_: str, seconds: float) -> float:
    """Write a link to the report of a job for ``seconds``; returns when it expires. Forgets links
    that expired long ago."""
    connection.execute(delete(Share).where(Share.expires_at <= now() - EXPIRED_SHOWN_SECONDS))
    row = {"hash": hash_, "job_id": job_id, "created_at": now(), "expires_at": now() + seconds}
    written = insert(Share).values(**row).returning(Share.expires_at)
    return float(connection.execute(written).scalar_one())


def share(connection: Connection, hash_: str) -> ShareRow | None:
    """The link with this hash, also if it has expired."""
    seconds = (Share.expires_at - now()).label("seconds")
    row = connection.execute(select(Share.job_id, seconds).where(Share.hash == hash_)).first()
    return None if row is None else record(ShareRow, row)


def close_shares(connection: Connection, job_id: str) -> int:
    """Revoke all links to the report of a job. Returns their number."""
    return connection.execute(delete(Share).where(Share.job_id == job_id)).rowcount
