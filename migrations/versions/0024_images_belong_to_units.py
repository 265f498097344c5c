"""images belong to units

A job by units (folders, documents, dates, values of a column) has a row for each in the new table
units. images.facts holds what a table says of an image, images.version the ETag of a bucket's
object; nodes.unit marks the nodes about a part of one unit.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0024
Revises: 0023
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "units",
        sa.Column("id", KEY, nullable=False),
        sa.Column("job_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("duplicate_of", sa.Integer(), nullable=True),
        sa.Column("answer", JSON, nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_units_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_units")),
    )
    op.create_index(op.f("uq_units_job_id_number"), "units", ["job_id", "number"], unique=True)
    copies = sa.text("duplicate_of IS NOT NULL")
    op.create_index(
        op.f("ix_units_duplicate_of"),
        "units",
        ["job_id", "duplicate_of"],
        sqlite_where=copies,
        postgresql_where=copies,
    )
    op.add_column("images", sa.Column("version", sa.Text(), nullable=True))
    op.add_column("images", sa.Column("facts", sa.JSON(), nullable=True))
    op.add_column("images", sa.Column("unit", sa.Integer(), nullable=True))
    op.add_column("nodes", sa.Column("unit", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("nodes", "unit")
    op.drop_column("images", "unit")
    op.drop_column("images", "facts")
    op.drop_column("images", "version")
    op.drop_table("units")
