"""seconds of jobs for analysts

v_jobs.seconds leaves out pauses, as the command does.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0021
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

SENT = (
    "(c.status NOT IN ('started', 'failed') OR c.status = 'failed' AND c.http_status IS NOT NULL)"
)
TIMES = {
    "postgresql": "to_timestamp(j.{time})",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', j.{time}, 'unixepoch')",
}
COVERAGE = ("included", "failed", "duplicate", "skipped")
TAKEN = [
    *("id", "key", "label", "status", "reason", "ask", "answer", "model", "endpoint", "account"),
    *("weight", "submitted"),
]
WITH_PAUSES = "j.finished_at - j.created_at"


def upgrade() -> None:
    _replace(f"{WITH_PAUSES} - j.idle_seconds")


def downgrade() -> None:
    _replace(WITH_PAUSES)


def _replace(seconds: str) -> None:
    """PostgreSQL keeps a replaced view's comments and grants; SQLite has neither."""
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        op.execute("DROP VIEW v_jobs")
    create = "CREATE VIEW" if dialect == "sqlite" else "CREATE OR REPLACE VIEW"
    view = _jobs(seconds, TIMES[dialect])
    op.execute(sa.text(f"{create} {view}".replace(":", r"\:")))


def _jobs(seconds: str, time: str) -> str:
    """v_jobs as 0009 made it, but for its seconds."""

    def counted(word: str) -> str:
        count = f"SELECT count(*) FROM images i WHERE i.job_id = j.id AND i.status = '{word}'"
        return f'CASE WHEN j.finished_at IS NULL THEN ({count}) ELSE j.{word} END AS "{word}"'

    def spent(expression: str, name: str) -> str:
        total = f"SELECT coalesce(sum({expression}), 0) FROM calls c WHERE c.job_id = j.id"
        return f'({total}) AS "{name}"'

    columns = [
        *(f'j.{name} AS "{"job" if name == "id" else name}"' for name in TAKEN),
        *(counted(word) for word in COVERAGE),
        f'(SELECT count(*) FROM calls c WHERE c.job_id = j.id AND {SENT}) AS "requests"',
        spent("c.prompt_tokens + c.completion_tokens", "tokens"),
        spent("c.cost", "cost"),
        *(f'{time.format(time=name)} AS "{name}"' for name in ("created_at", "finished_at")),
        f'{seconds} AS "seconds"',
    ]
    return f"v_jobs AS SELECT {', '.join(columns)} FROM jobs j"
