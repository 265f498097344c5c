"""few nodes are found

Of the nodes of a large job few are ready, running or due for a check at a time. Without indexes of
their own, every claim sorted all that were ready, and the reconciler read all nodes each second.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0027
Revises: 0026
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_nodes_ready": (["job_id", "kind", "level", "first_position"], "ready"),
    "ix_nodes_waiting": (["id"], "waiting"),
    "ix_nodes_running": (["lease_until"], "running"),
}


def upgrade() -> None:
    for name, (columns, status) in INDEXES.items():
        few = sa.text(f"status = '{status}'")
        op.create_index(
            name, "nodes", columns, sqlite_where=few, postgresql_where=few, if_not_exists=True
        )


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, table_name="nodes")
