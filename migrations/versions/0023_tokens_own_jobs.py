"""tokens own jobs

Tokens of the HTTP API, the browsers that have shown one, and links to reports. jobs.owner and
calls.owner name the token that a job was submitted with; v_jobs shows it. On PostgreSQL a view
cannot lose columns, so the way back drops it, with its grants.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0023
Revises: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
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
OWNER = "The token that it was submitted with; NULL: this machine, or a message"


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("read_only", sa.Boolean(), nullable=False),
        sa.Column("budget", sa.Double(), nullable=True),
        sa.Column("budget_period", sa.String(8), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "budget_period IN ('day', 'month')", name=op.f("ck_tokens_budget_period_known")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_tokens_hash")),
    )
    op.create_table(
        "sessions",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("token", sa.String(40), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["token"], ["tokens.name"], name=op.f("fk_sessions_token"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_sessions")),
    )
    op.create_table(
        "shares",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("job_id", sa.String(32), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_shares_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_shares")),
    )
    op.create_index(op.f("ix_shares_job_id"), "shares", ["job_id"])
    op.add_column("jobs", sa.Column("owner", sa.String(64), nullable=True))
    op.create_index(op.f("ix_jobs_owner"), "jobs", ["owner", "created_at"])
    op.add_column("calls", sa.Column("owner", sa.String(64), nullable=True))
    owned = sa.text("owner IS NOT NULL")
    op.create_index(
        op.f("ix_calls_owner"),
        "calls",
        ["owner", "started_at"],
        sqlite_where=owned,
        postgresql_where=owned,
    )
    _show_owner()


def downgrade() -> None:
    meanings = _meanings()
    op.execute("DROP VIEW v_jobs")
    _create("CREATE VIEW", "")
    for what, meaning in meanings:
        op.execute(sa.text(f"COMMENT ON {what} IS {meaning}".replace(":", r"\:")))
    op.drop_index(op.f("ix_calls_owner"), "calls")
    op.drop_column("calls", "owner")
    op.drop_index(op.f("ix_jobs_owner"), "jobs")
    op.drop_column("jobs", "owner")
    op.drop_table("shares")
    op.drop_table("sessions")
    op.drop_table("tokens")


def _show_owner() -> None:
    """PostgreSQL keeps a replaced view's comments and grants; SQLite has neither."""
    owner = ', j.owner AS "owner"'
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP VIEW v_jobs")
        _create("CREATE VIEW", owner)
    else:
        _create("CREATE OR REPLACE VIEW", owner)
        op.execute(f"COMMENT ON COLUMN v_jobs.owner IS '{OWNER}'")


def _meanings() -> list[tuple[str, str]]:
    """The comments of v_jobs and of its columns but the owner, quoted; only PostgreSQL has some."""
    if op.get_bind().dialect.name == "sqlite":
        return []
    comments = """
        SELECT CASE WHEN objsubid = 0 THEN 'VIEW v_jobs' ELSE 'COLUMN v_jobs.' || attname END,
               quote_literal(description)
        FROM pg_description
        LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid
        WHERE objoid = CAST('v_jobs' AS regclass) AND coalesce(attname, '') <> 'owner'
    """
    return [(row[0], row[1]) for row in op.get_bind().execute(sa.text(comments))]


def _create(how: str, owner: str) -> None:
    """v_jobs as 0021 made it, and its owner."""
    time = TIMES[op.get_bind().dialect.name]

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
        'j.finished_at - j.created_at - j.idle_seconds AS "seconds"',
    ]
    view = f"v_jobs AS SELECT {', '.join(columns)}{owner} FROM jobs j"
    op.execute(sa.text(f"{how} {view}".replace(":", r"\:")))
