"""what endpoints answer

calls.reasoning: what a model wrote before its reply. endpoint_limits.part may name a form: how a
request is written for an endpoint that refuses a part of the usual one.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


PARTS = ("images", "tokens", "bytes", "proven")
FORMS = (
    "completion_tokens",
    "no_max_tokens",
    "reply_tokens",
    "no_temperature",
    "no_reasoning",
    "no_system",
    "no_json_schema",
    "no_json_mode",
    "inline",
    "jpeg",
    "no_detail",
)


def upgrade() -> None:
    op.add_column("calls", sa.Column("reasoning", sa.Text(), nullable=True))
    _known((*PARTS, *FORMS))


def downgrade() -> None:
    forms = ", ".join(f"'{form}'" for form in FORMS)
    op.execute(f"DELETE FROM endpoint_limits WHERE part IN ({forms})")
    _known(PARTS)
    op.drop_column("calls", "reasoning")


def _known(parts: tuple[str, ...]) -> None:
    name = op.f("ck_endpoint_limits_part_known")
    values = ", ".join(f"'{part}'" for part in parts)
    with op.batch_alter_table("endpoint_limits") as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, f"part IN ({values})")
