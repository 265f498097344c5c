"""What ``overstory doctor --probe`` found, for each endpoint and model."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.requests.probe_findings import ProbeFindings
from models.engine import now
from models.tables import Call, EndpointProbe


@dataclass(frozen=True, slots=True)
class Probed:
    """``at``: Unix time."""

    at: float
    found: ProbeFindings


def keep(connection: Connection, endpoint: str, model: str, found: ProbeFindings) -> None:
    """Replace what was found before."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    values = {"probed_at": now(), "found": found.to_json()}
    new = dialect.insert(EndpointProbe).values(endpoint=endpoint, model=model, **values)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=["endpoint", "model"],
            set_={name: new.excluded[name] for name in values},
        )
    )


def probed(connection: Connection, endpoint: str, model: str) -> Probed | None:
    """What was found of ``model`` at ``endpoint``; None if it was not probed."""
    row = connection.execute(
        select(EndpointProbe.probed_at, EndpointProbe.found).where(
            EndpointProbe.endpoint == endpoint, EndpointProbe.model == model
        )
    ).first()
    return None if row is None else Probed(row.probed_at, ProbeFindings.from_json(row.found))


def forget(connection: Connection) -> int:
    """Forget all that was found, and what past calls tell of how tokens count. Returns how many
    probes there were."""
    connection.execute(update(Call).where(Call.prompt_parts.is_not(None)).values(prompt_parts=None))
    return connection.execute(delete(EndpointProbe)).rowcount
