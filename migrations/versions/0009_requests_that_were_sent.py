"""requests that were sent

v_jobs and v_usage_daily counted as requests also calls that never left: given up while the account
was paused, or for an endpoint that nobody could reach. The command's JSON leaves them out, and now
both agree. Nor does a day's sum count what is still under way, as a job's never did.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SENT = (
    "(c.status NOT IN ('started', 'failed') OR c.status = 'failed' AND c.http_status IS NOT NULL)"
)
FORMS = {
    "postgresql": {
        "{created_at}": "to_timestamp(j.created_at)",
        "{finished_at}": "to_timestamp(j.finished_at)",
        "{day}": "CAST(to_timestamp(c.started_at) AT TIME ZONE 'UTC' AS date)",
    },
    "sqlite": {
        "{created_at}": "strftime('%Y-%m-%d %H:%M:%f', j.created_at, 'unixepoch')",
        "{finished_at}": "strftime('%Y-%m-%d %H:%M:%f', j.finished_at, 'unixepoch')",
        "{day}": "date(c.started_at, 'unixepoch')",
    },
}
COVERAGE = ("included", "failed", "duplicate", "skipped")
TAKEN = [
    *("id", "key", "label", "status", "reason", "ask", "answer", "model", "endpoint", "account"),
    *("weight", "submitted"),
]
FAILED_MEANS = {
    True: "Lost or turned away, also those that were never sent",
    False: "Lost or turned away",
}


def _jobs(sent: str) -> str:
    """v_jobs as 0002 made it, but for what counts as a request."""

    def counted(word: str) -> str:
        count = f"SELECT count(*) FROM images i WHERE i.job_id = j.id AND i.status = '{word}'"
        return f'CASE WHEN j.finished_at IS NULL THEN ({count}) ELSE j.{word} END AS "{word}"'

    def spent(expression: str, name: str) -> str:
        total = f"SELECT coalesce(sum({expression}), 0) FROM calls c WHERE c.job_id = j.id"
        return f'({total}) AS "{name}"'

    columns = [
        *(f'j.{name} AS "{"job" if name == "id" else name}"' for name in TAKEN),
        *(counted(word) for word in COVERAGE),
        f'(SELECT count(*) FROM calls c WHERE c.job_id = j.id AND {sent}) AS "requests"',
        spent("c.prompt_tokens + c.completion_tokens", "tokens"),
        spent("c.cost", "cost"),
        '{created_at} AS "created_at"',
        '{finished_at} AS "finished_at"',
        'j.finished_at - j.created_at AS "seconds"',
    ]
    return f"v_jobs AS SELECT {', '.join(columns)} FROM jobs j"


def _usage(requests: str) -> str:
    """v_usage_daily as 0002 made it, but for what counts as a request."""

    def those(condition: str, what: str, name: str) -> str:
        return f'sum(CASE WHEN {condition} THEN {what} ELSE 0 END) AS "{name}"'

    columns = [
        '{day} AS "day"',
        *(f'c.{name} AS "{name}"' for name in ("account", "model", "currency")),
        f'{requests} AS "requests"',
        those("c.status = 'settled'", "1", "settled"),
        those("c.status = 'refused'", "1", "refused"),
        those("c.status IN ('failed', 'unknown')", "1", "failed"),
        those("c.status = 'settled'", "c.images", "images"),
        *(
            f'sum(c.{name}) AS "{name}"'
            for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "cost")
        ),
    ]
    grouped = "{day}, c.account, c.model, c.currency"
    return f"v_usage_daily AS SELECT {', '.join(columns)} FROM calls c GROUP BY {grouped}"


def _replace(view: str) -> None:
    """PostgreSQL keeps a replaced view's comments and grants; SQLite has neither."""
    dialect = op.get_bind().dialect.name
    for word, form in FORMS[dialect].items():
        view = view.replace(word, form)
    if dialect == "sqlite":
        op.execute(f"DROP VIEW {view.partition(' ')[0]}")
    create = "CREATE VIEW" if dialect == "sqlite" else "CREATE OR REPLACE VIEW"
    op.execute(sa.text(f"{create} {view}".replace(":", r"\:")))


def _say(sent: bool) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"COMMENT ON COLUMN v_usage_daily.failed IS '{FAILED_MEANS[sent]}'")


def upgrade() -> None:
    _replace(_jobs(SENT))
    _replace(_usage(f"sum(CASE WHEN {SENT} THEN 1 ELSE 0 END)"))
    _say(sent=True)


def downgrade() -> None:
    _replace(_usage("count(*)"))
    _replace(_jobs("c.status <> 'started'"))
    _say(sent=False)
