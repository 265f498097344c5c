"""idle times of jobs

jobs.idle_since is the time since when a job is paused or ended, jobs.idle_seconds the sum of its
earlier pauses, so that a job's time is the time that it took. What jobs paused before is not known
any more: their events would have to be read one by one.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0020
Revises: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("idle_since", sa.Double(), nullable=True))
    op.add_column(
        "jobs", sa.Column("idle_seconds", sa.Double(), server_default=sa.text("0"), nullable=False)
    )
    op.execute("UPDATE jobs SET idle_since = finished_at WHERE finished_at IS NOT NULL")
    op.execute(
        "UPDATE jobs SET idle_since = (SELECT max(e.at) FROM events e"
        " WHERE e.job_id = jobs.id AND e.name = 'job.paused') WHERE status = 'paused'"
    )


def downgrade() -> None:
    op.drop_column("jobs", "idle_seconds")
    op.drop_column("jobs", "idle_since")
