"""deliveries

Webhooks: who is told of a job's end, and how that went. And the view of it for analysts.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIMES = {
    "postgresql": "to_timestamp({0})",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', {0}, 'unixepoch')",
}
COLUMNS = [
    ("job", "d.job_id", "The job whose end is told"),
    ("label", "j.label", "Its label"),
    ("url", "d.url", "Who is told"),
    ("status", "d.status", "open, delivered or failed"),
    ("attempts", "d.attempts", "Times it was sent"),
    ("http_status", "d.http_status", "What the receiver answered last"),
    ("error", "d.error", "Why the last attempt failed"),
    ("created_at", "{time}d.created_at", "When it was asked for, with the job"),
    ("delivered_at", "{time}d.delivered_at", "When the receiver took it"),
]


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", KEY, nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("event_at", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("delivered_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "status IN ('open', 'delivered', 'failed')", name=op.f("ck_deliveries_status_known")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_deliveries_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index("uq_deliveries_job_id_url", "deliveries", ["job_id", "url"], unique=True)
    op.create_index("ix_deliveries_status_due_at", "deliveries", ["status", "due_at"])
    dialect = op.get_bind().dialect.name
    shown = ", ".join(
        f"{_expression(given, dialect)} AS {name}" for name, given, _ in COLUMNS
    ).replace(":", r"\:")
    source = "deliveries d JOIN jobs j ON j.id = d.job_id"
    op.execute(sa.text(f"CREATE VIEW v_deliveries AS SELECT {shown} FROM {source}"))
    if dialect == "postgresql":
        op.execute("COMMENT ON VIEW v_deliveries IS 'One webhook of one job, and how it went'")
        for name, _, meaning in COLUMNS:
            op.execute(f"COMMENT ON COLUMN v_deliveries.{name} IS '{meaning}'")


def _expression(given: str, dialect: str) -> str:
    timed = given.startswith("{time}")
    return TIMES[dialect].format(given.removeprefix("{time}")) if timed else given


def downgrade() -> None:
    op.execute("DROP VIEW v_deliveries")
    op.drop_index("ix_deliveries_status_due_at", table_name="deliveries")
    op.drop_index("uq_deliveries_job_id_url", table_name="deliveries")
    op.drop_table("deliveries")
