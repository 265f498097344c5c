"""limits that endpoints name

What an endpoint takes in one request for a model, as its refusals have shown: images, tokens or bytes.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "endpoint_limits",
        sa.Column("endpoint", sa.String(255), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("part", sa.String(16), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("named", sa.Boolean(), nullable=False),
        sa.Column("proven", sa.Boolean(), nullable=False),
        sa.Column("learned_at", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "model", "part", name=op.f("pk_endpoint_limits")),
        sa.CheckConstraint("part IN ('images', 'tokens', 'bytes')", name=op.f("ck_endpoint_limits_part_known")),
    )


def downgrade() -> None:
    op.drop_table("endpoint_limits")
