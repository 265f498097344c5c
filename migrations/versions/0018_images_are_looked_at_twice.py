"""images are looked at twice

images.look is 2 where an image is looked at twice, and so is nodes.look of a leaf that looks again.
images.unclear names the fields that the model could not tell; an empty list is the whole image.
images.first_sha256 names the bytes of the first look, so that prune finds them.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)


def upgrade() -> None:
    op.add_column("images", _look())
    op.add_column("images", sa.Column("unclear", JSON, nullable=True))
    op.add_column("images", sa.Column("first_sha256", sa.String(64), nullable=True))
    op.add_column("nodes", _look())


def downgrade() -> None:
    op.drop_column("nodes", "look")
    op.drop_column("images", "first_sha256")
    op.drop_column("images", "unclear")
    op.drop_column("images", "look")


def _look() -> sa.Column[int]:
    return sa.Column("look", sa.Integer(), server_default=sa.text("1"), nullable=False)
