"""jobs follow jobs

A job may follow another: the same question about a changed set, or a further question about the
same set. And what tells an unchanged file without reading it: the time of its last change.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("follows", sa.String(length=32), nullable=True))
    op.add_column("jobs", sa.Column("family", sa.String(length=64), nullable=True))
    op.add_column("images", sa.Column("changed_ns", sa.BigInteger(), nullable=True))
    op.create_index("ix_jobs_follows", "jobs", ["follows"])
    op.create_index("ix_jobs_family", "jobs", ["family", "created_at"])


def downgrade() -> None:
    op.drop_index("ix_jobs_family", table_name="jobs")
    op.drop_index("ix_jobs_follows", table_name="jobs")
    op.drop_column("images", "changed_ns")
    op.drop_column("jobs", "family")
    op.drop_column("jobs", "follows")
