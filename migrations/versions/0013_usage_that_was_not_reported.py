"""usage that was not reported

calls.usage_estimated: the reply reported no usage, so tokens and cost of the call are our estimate.
endpoint_limits.measured: the limit was found from the usage of replies. Its part may be 'proven': how
many pictures a request showed whose canaries were read.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

PARTS = ("images", "tokens", "bytes", "proven")
COLUMNS = {"calls": "usage_estimated", "endpoint_limits": "measured"}


def upgrade() -> None:
    for table, name in COLUMNS.items():
        column: sa.Column[bool] = sa.Column(
            name, sa.Boolean(), nullable=False, server_default=sa.text("false")
        )
        op.add_column(table, column)
    _known(PARTS)


def downgrade() -> None:
    op.execute("DELETE FROM endpoint_limits WHERE part = 'proven'")
    _known(PARTS[:3])
    for table, name in COLUMNS.items():
        op.drop_column(table, name)


def _known(parts: tuple[str, ...]) -> None:
    name = op.f("ck_endpoint_limits_part_known")
    values = ", ".join(f"'{part}'" for part in parts)
    with op.batch_alter_table("endpoint_limits") as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, f"part IN ({values})")
