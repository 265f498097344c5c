"""splits are found

Deleting a job deletes its nodes, and each asks which others were split from it: without an index
that reads the whole table for every node, and a prune of large jobs takes minutes.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SPLIT = sa.text("split_from IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_nodes_split_from",
        "nodes",
        ["split_from"],
        sqlite_where=SPLIT,
        postgresql_where=SPLIT,
    )


def downgrade() -> None:
    op.drop_index("ix_nodes_split_from", table_name="nodes")
