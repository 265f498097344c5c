"""calls count what they show

calls.images is the images in the request. It also counted those that a branch only read notes of, so
that v_usage_daily had most images seen twice.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0010
Revises: 0009
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OF_BRANCHES = "node_id IN (SELECT id FROM nodes WHERE kind = 'branch')"


def upgrade() -> None:
    op.execute(f"UPDATE calls SET images = 0 WHERE {OF_BRANCHES}")  # noqa: S608


def downgrade() -> None:
    """As near as it is known: what the branch came to hold."""
    of_node = "SELECT images FROM nodes WHERE nodes.id = calls.node_id"
    op.execute(f"UPDATE calls SET images = ({of_node}) WHERE {OF_BRANCHES}")  # noqa: S608
