"""second looks for analysts

v_images gets look and unclear: whether an image was looked at twice, and what the model could not
tell of it. On PostgreSQL a view cannot lose columns, so the way back drops it, with its grants.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

UPDATED_AT = {
    "postgresql": "to_timestamp(i.updated_at)",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', i.updated_at, 'unixepoch')",
}
SEEN = "CASE WHEN i.status = 'included' THEN coalesce(i.seen, 'sent') END"
COMMENT = "One submitted image: a file, a URL or a page of a document"
BEFORE = [
    ("image", "i.id", "Id of the image"),
    ("job", "i.job_id", "Its job"),
    ("label", "j.label", "Its job''s label"),
    ("position", "i.position", "Its place in the input, from 1; what [n] in an answer means"),
    ("name", "i.name", "Its file name"),
    ("location", "i.location", "Its path or URL"),
    ("page", "i.page", "Its page, of a document"),
    ("status", "i.status", "pending, prepared, uploaded, included, failed, duplicate, skipped"),
    ("error_code", "i.error_code", "Why it failed, of a closed set"),
    ("error", "i.error", "Why it failed, in a sentence"),
    ("duplicate_of", "i.duplicate_of", "Position of the first image with the same bytes"),
    ("node", "i.node_id", "The leaf that looks at it"),
    ("source_sha256", "i.source_sha256", "Hash of the submitted bytes"),
    ("sha256", "i.sha256", "Hash of the prepared bytes"),
    ("mime", "i.mime", "Form of the prepared bytes"),
    ("width", "i.width", "Width as prepared"),
    ("height", "i.height", "Height as prepared"),
    ("bytes", "i.bytes", "Size of the submitted file"),
    ("prepared_bytes", "i.prepared_bytes", "Size as prepared"),
    ("tokens", "i.tokens", "Tokens it takes in a request"),
    ("remarks", "i.remarks", "What was noticed while preparing it"),
    ("updated_at", "{updated_at}", "When its status last changed"),
    (
        "seen",
        SEEN,
        "What shows that the model saw an included image: an answer about it alone, a line of its"
        " own, or nothing but that it was sent",
    ),
    ("note", "i.note", "The line that the model wrote about it"),
]
NEW = [
    ("look", "i.look", "2: it was looked at twice, or is about to be"),
    (
        "unclear",
        "CAST(i.unclear AS TEXT)",
        "What the model could not tell of it: the names of fields as a JSON list; [] is the whole"
        " image",
    ),
]


def _view(columns: list[tuple[str, str, str]]) -> str:
    """v_images as 0002 made it, with these columns."""
    selected = ", ".join(f'{expression} AS "{name}"' for name, expression, _ in columns)
    selected = selected.replace("{updated_at}", UPDATED_AT[op.get_bind().dialect.name])
    return f"v_images AS SELECT {selected} FROM images i JOIN jobs j ON j.id = i.job_id"


def _create(how: str, columns: list[tuple[str, str, str]]) -> None:
    op.execute(sa.text(f"{how} {_view(columns)}".replace(":", r"\:")))


def _explain(columns: list[tuple[str, str, str]]) -> None:
    for name, _, meaning in columns:
        op.execute(f"COMMENT ON COLUMN v_images.\"{name}\" IS '{meaning}'")


def upgrade() -> None:
    """PostgreSQL keeps a replaced view's comments and grants; SQLite has neither."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP VIEW v_images")
        _create("CREATE VIEW", [*BEFORE, *NEW])
        return
    _create("CREATE OR REPLACE VIEW", [*BEFORE, *NEW])
    _explain(NEW)


def downgrade() -> None:
    op.execute("DROP VIEW v_images")
    _create("CREATE VIEW", BEFORE)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"COMMENT ON VIEW v_images IS '{COMMENT}'")
        _explain(BEFORE)
