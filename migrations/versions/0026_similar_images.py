"""similar images are left out

images.likeness is what tells whether two pictures are nearly the same, and images.similar_to the
position of the image that stands for one that was left out. jobs.comparing: its images are being
prepared to be compared, and its tree is planned afterwards.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0026
Revises: 0025
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("images", sa.Column("likeness", JSON, nullable=True))
    op.add_column("images", sa.Column("similar_to", sa.Integer(), nullable=True))
    op.add_column(
        "jobs", sa.Column("comparing", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    op.drop_column("jobs", "comparing")
    op.drop_column("images", "similar_to")
    op.drop_column("images", "likeness")
