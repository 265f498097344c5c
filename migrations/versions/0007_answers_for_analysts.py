"""answers for analysts

The view v_answers: what was answered of every image, where each was asked.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

EACH = {"postgresql": "j.options ->> 'each'", "sqlite": "json_extract(j.options, '$.each')"}
ANSWER = {"postgresql": "i.answer #>> '{}'", "sqlite": "json_extract(i.answer, '$')"}
COLUMNS = [
    ("job", "i.job_id", "The job"),
    ("label", "j.label", "Its label"),
    ("position", "i.position", "The place of the image in the input"),
    ("name", "i.name", "Its file name"),
    ("question", "coalesce({each}, j.ask)", "What was asked of it, or of the set it is a part of"),
    ("answer", "{answer}", "The answer: a text, or an object as JSON text"),
]


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    words = {"{each}": EACH[dialect], "{answer}": ANSWER[dialect]}
    shown = ", ".join(f"{given} AS {name}" for name, given, _ in COLUMNS)
    for word, expression in words.items():
        shown = shown.replace(word, expression)
    source = "images i JOIN jobs j ON j.id = i.job_id WHERE i.answer IS NOT NULL"
    op.execute(sa.text(f"CREATE VIEW v_answers AS SELECT {shown} FROM {source}"))
    if dialect == "postgresql":
        op.execute("COMMENT ON VIEW v_answers IS 'What was answered of one image by itself'")
        for name, _, meaning in COLUMNS:
            op.execute(f"COMMENT ON COLUMN v_answers.{name} IS '{meaning}'")


def downgrade() -> None:
    op.execute("DROP VIEW v_answers")
