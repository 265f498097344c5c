"""images say how they were seen

images.seen is what shows that the model saw an included image: an answer about it alone, a line about
it, or only that it was sent. images.note is that line. Images that were included before have no proof.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INCLUDED_BEFORE = """
UPDATE images SET seen = CASE WHEN answer IS NULL THEN 'sent' ELSE 'answer' END
WHERE status = 'included'
"""


def upgrade() -> None:
    op.add_column("images", sa.Column("seen", sa.String(8), nullable=True))
    op.add_column("images", sa.Column("note", sa.Text(), nullable=True))
    op.execute(INCLUDED_BEFORE)


def downgrade() -> None:
    op.drop_column("images", "note")
    op.drop_column("images", "seen")
