"""How endpoints count tokens, found from the calls on the ledger (core/account/token_fit.py).

A fit takes up to half a second, so each process keeps it until a fourth more calls were answered.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Connection, Engine, and_, not_, select

from core.account.image_rules import NamedFormula, PaidPrompt
from core.account.token_fit import CALLS_MOST, CALLS_TO_CONTRADICT, TokenFit, token_fit
from core.catalog.facts import facts_of, shipped
from core.requests.prompt_parts import PromptParts
from core.states import CallStatus
from models.tables import Call

MORE = 4
"""A fit is made anew when a fourth more calls were answered."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """``newest``: the id of the newest call at that time, or of the one so many before it;
    ``calls``: about how many there were."""

    fit: TokenFit | None = None
    newest: int = 0
    calls: int = 0


_fitting = threading.Lock()
_kept: WeakKeyDictionary[Engine, dict[tuple[str, str], _Kept]] = WeakKeyDictionary()


def token_fit_of(connection: Connection, endpoint: str, model: str) -> TokenFit | None:
    """How ``model`` at ``endpoint`` counts; None as long as no reply about an image tells. What is
    known of a model counts until enough calls could contradict it, so there is no fit before."""
    kept = _kept.setdefault(connection.engine, {})
    before = kept.get((endpoint, model), _Kept())
    told = _told(endpoint, model)
    least = CALLS_TO_CONTRADICT if facts_of(model, endpoint).entry else 1
    newest = connection.execute(
        select(Call.id).where(told).order_by(Call.id.desc()).limit(1).offset(least - 1)
    ).scalar()
    if newest is None:
        kept.pop((endpoint, model), None)
        return None
    more = newest - before.newest
    is_due = more > before.calls // MORE or more < 0
    if is_due and _fitting.acquire(blocking=False):  # other threads go on with what is known
        try:
            calls = _paid_prompts(connection, told)
            seen = before.calls + more if before.calls else len(calls)
            before = _Kept(token_fit(calls, known_formulas()), newest, seen)
            kept[endpoint, model] = before
        finally:
            _fitting.release()
    return before.fit


def _paid_prompts(connection: Connection, told: ColumnElement[bool]) -> list[PaidPrompt]:
    """The newest of the calls ``told``."""
    rows = connection.execute(
        select(Call.prompt_parts, Call.prompt_tokens)
        .where(told)
        .order_by(Call.id.desc())
        .limit(CALLS_MOST)
    )
    return [PaidPrompt(PromptParts.from_json(row.prompt_parts), row.prompt_tokens) for row in rows]


def _told(endpoint: str, model: str) -> ColumnElement[bool]:
    """Calls whose replies reported the tokens of a prompt of which the parts are known."""
    return and_(
        Call.endpoint == endpoint,
        Call.model == model,
        Call.status == CallStatus.SETTLED,
        Call.prompt_parts.is_not(None),
        not_(Call.usage_estimated),
    )


def known_formulas() -> list[NamedFormula]:
    """The formulas of all models that are known, each once."""
    entries = {entry.formula: entry for entry in reversed(shipped())}
    return [
        NamedFormula(f"{entry.owner}'s {_plain(entry.names[0])}", formula.tokens)
        for formula, entry in entries.items()
    ]


def _plain(name: str) -> str:
    """A name without its wildcards: claude-4.5 of claude-*-4?5*."""
    return name.replace("-*", "").replace("*", "").replace("?", ".")
