"""names are found by their hash

On PostgreSQL a tree index takes keys of at most 2,704 bytes. A longer name or URL was refused as a
program limit, and its job could not be written. So the index there is over a hash of the name. SQLite
has no such limit: nothing changes.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

BY_HASH, BY_NAME = "ix_images_name_hash", "ix_images_name"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        hashed = sa.text("hashtextextended(name, 0)")
        op.create_index(BY_HASH, "images", [hashed], if_not_exists=True)
        op.drop_index(BY_NAME, table_name="images")


def downgrade() -> None:
    """Fails while a name is longer than the tree takes: delete its job first."""
    if op.get_bind().dialect.name == "postgresql":
        op.create_index(
            BY_NAME, "images", ["name"], postgresql_ops={"name": "text_pattern_ops"}
        )
        op.drop_index(BY_HASH, table_name="images")
