"""calls tell how tokens count

calls.prompt_parts: the sizes of the images and the bytes of the text that a call held, from which
the tokens of an image are found for models that no table knows. calls.endpoint: a call without a
job has no other. endpoint_probes: what `overstory doctor --probe` found.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0022
Revises: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    jsonb = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
    json = sa.JSON(none_as_null=True).with_variant(jsonb, "postgresql")
    op.add_column("calls", sa.Column("endpoint", sa.String(255), nullable=True))
    op.add_column("calls", sa.Column("prompt_parts", json, nullable=True))
    op.create_index(op.f("ix_calls_endpoint"), "calls", ["endpoint", "model", "id"])
    op.create_table(
        "endpoint_probes",
        sa.Column("endpoint", sa.String(255), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("probed_at", sa.Double(), nullable=False),
        sa.Column("found", sa.JSON().with_variant(jsonb, "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "model", name=op.f("pk_endpoint_probes")),
    )


def downgrade() -> None:
    op.drop_table("endpoint_probes")
    op.drop_index(op.f("ix_calls_endpoint"), "calls")
    op.drop_column("calls", "prompt_parts")
    op.drop_column("calls", "endpoint")
