"""few images are found

Who waits for a job was told once a second why images of it wait, and the service looked once an hour
which uploads are in use: both read all rows. The lease of an upload was renewed by reading all files.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0028
Revises: 0027
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

TROUBLED = "error IS NOT NULL AND status IN ('pending', 'prepared')"
INDEXES = (
    ("ix_images_troubled", "images", ["job_id", "status"], TROUBLED),
    ("ix_images_upload", "images", ["location", "job_id"], "location LIKE 'upload:%'"),
    ("ix_files_leased", "files", ["lease_token"], "lease_token IS NOT NULL"),
)


def upgrade() -> None:
    for name, table, columns, condition in INDEXES:
        few = sa.text(condition)
        op.create_index(
            name, table, columns, sqlite_where=few, postgresql_where=few, if_not_exists=True
        )


def downgrade() -> None:
    for name, table, *_ in INDEXES:
        op.drop_index(name, table_name=table)
