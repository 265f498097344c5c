"""units for analysts

The new view v_units has a row for each unit of a job by units; v_images gets unit and facts. A call
that showed images of several units is paid by each in proportion to its images. On PostgreSQL a
view cannot lose columns, so the way back drops v_images, with its grants.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0025
Revises: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

UPDATED_AT = {
    "postgresql": "to_timestamp(i.updated_at)",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', i.updated_at, 'unixepoch')",
}
IMAGES = {
    **{"image": "i.id", "job": "i.job_id", "label": "j.label", "position": "i.position"},
    **{name: f"i.{name}" for name in ("name", "location", "page", "status", "error_code")},
    **{"error": "i.error", "duplicate_of": "i.duplicate_of", "node": "i.node_id"},
    **{name: f"i.{name}" for name in ("source_sha256", "sha256", "mime", "width", "height")},
    **{name: f"i.{name}" for name in ("bytes", "prepared_bytes", "tokens", "remarks")},
    "updated_at": "{updated_at}",
    "seen": "CASE WHEN i.status = 'included' THEN coalesce(i.seen, 'sent') END",
    **{"note": "i.note", "look": "i.look", "unclear": "CAST(i.unclear AS TEXT)"},
}
OF_IMAGES = "images i JOIN jobs j ON j.id = i.job_id"
NEW = {"unit": "u.name", "facts": "CAST(i.facts AS TEXT)"}
NEW_MEANINGS = {
    "unit": "Name of its unit, in a job by units",
    "facts": "What its table, or the picture itself, says of it: a JSON object by column",
}
WITH_UNITS = f"{OF_IMAGES} LEFT JOIN units u ON u.job_id = i.job_id AND u.number = i.unit"

EACH = {"postgresql": "j.options ->> 'each'", "sqlite": "json_extract(j.options, '$.each')"}
ANSWER = {"postgresql": "u.answer #>> '{}'", "sqlite": "json_extract(u.answer, '$')"}
COUNTED = ("included", "failed", "duplicate", "skipped")
UNITS = [
    ("job", "u.job_id", "Its job"),
    ("label", "j.label", "Its job''s label"),
    ("number", "u.number", "Its place among the units of the job, from 1"),
    ("unit", "u.name", "Its name: a folder, a document, a day, or a value of a column"),
    ("question", "{each}", "What was asked of it"),
    ("answer", "{answer}", "The answer: a text, or an object as JSON text"),
    ("duplicate_of", "u.duplicate_of", "Number of an earlier unit with the same images"),
    ("first_position", "i.first_position", "Position of its first image"),
    ("submitted", "coalesce(i.submitted, 0)", "How many images it has"),
    *((name, f"coalesce(i.{name}, 0)", f"How many of them are {name}") for name in COUNTED),
    (
        "cost",
        "coalesce(m.cost, 0)",
        "Money for its calls, and its share of calls about several units",
    ),
]
SUMS = ", ".join(f"sum(CASE WHEN status = '{name}' THEN 1 ELSE 0 END) AS {name}" for name in COUNTED)
OF_UNITS = f"""
WITH RECURSIVE paid AS (
  SELECT n.id AS node, n.job_id, n.unit, sum(c.cost) AS cost
  FROM nodes n JOIN calls c ON c.node_id = n.id AND c.job_id = n.job_id
  WHERE n.job_id IN (SELECT job_id FROM units) AND c.status <> 'started'
    AND (c.images > 0 OR n.unit IS NOT NULL)
  GROUP BY n.id, n.job_id, n.unit
), parts(node, part) AS (
  SELECT node, node FROM paid WHERE unit IS NULL
  UNION
  SELECT p.node, n.id FROM parts p JOIN nodes n ON n.split_from = p.part OR n.parent_id = p.part
), shown AS (
  SELECT p.node, i.unit, count(*) AS images FROM parts p JOIN images i ON i.node_id = p.part
  WHERE i.unit IS NOT NULL AND i.sha256 IS NOT NULL GROUP BY p.node, i.unit
), shares AS (
  SELECT job_id, unit, cost FROM paid WHERE unit IS NOT NULL
  UNION ALL
  SELECT p.job_id, s.unit, p.cost * s.images / sum(s.images) OVER (PARTITION BY s.node)
  FROM paid p JOIN shown s ON s.node = p.node
)
SELECT {{columns}} FROM units u JOIN jobs j ON j.id = u.job_id
LEFT JOIN (
  SELECT job_id, unit, min(position) AS first_position, count(*) AS submitted, {SUMS}
  FROM images WHERE unit IS NOT NULL GROUP BY job_id, unit
) i ON i.job_id = u.job_id AND i.unit = u.number
LEFT JOIN (SELECT job_id, unit, sum(cost) AS cost FROM shares GROUP BY job_id, unit) m
  ON m.job_id = u.job_id AND m.unit = u.number
"""


def upgrade() -> None:
    """PostgreSQL keeps a replaced view's comments and grants; SQLite has neither."""
    dialect = op.get_bind().dialect.name
    if dialect == "sqlite":
        op.execute("DROP VIEW v_images")
    how = "CREATE VIEW" if dialect == "sqlite" else "CREATE OR REPLACE VIEW"
    _create_images(how, IMAGES | NEW, WITH_UNITS)
    columns = ", ".join(f'{given} AS "{name}"' for name, given, _ in UNITS)
    columns = columns.replace("{each}", EACH[dialect]).replace("{answer}", ANSWER[dialect])
    op.execute(sa.text(f"CREATE VIEW v_units AS {OF_UNITS.format(columns=columns)}"))
    if dialect == "postgresql":
        for name, meaning in NEW_MEANINGS.items():
            op.execute(f"COMMENT ON COLUMN v_images.{name} IS '{meaning}'")
        op.execute("COMMENT ON VIEW v_units IS 'One unit of a job by units'")
        for name, _, meaning in UNITS:
            op.execute(f"COMMENT ON COLUMN v_units.{name} IS '{meaning}'")


def downgrade() -> None:
    op.execute("DROP VIEW v_units")
    meanings = _meanings()
    op.execute("DROP VIEW v_images")
    _create_images("CREATE VIEW", IMAGES, OF_IMAGES)
    for what, meaning in meanings:
        op.execute(sa.text(f"COMMENT ON {what} IS {meaning}".replace(":", r"\:")))


def _create_images(how: str, columns: dict[str, str], source: str) -> None:
    """v_images as 0019 made it, with these columns."""
    shown = ", ".join(f'{given} AS "{name}"' for name, given in columns.items())
    shown = shown.replace("{updated_at}", UPDATED_AT[op.get_bind().dialect.name])
    view = f"v_images AS SELECT {shown} FROM {source}"
    op.execute(sa.text(f"{how} {view}".replace(":", r"\:")))


def _meanings() -> list[tuple[str, str]]:
    """The comments of v_images and of its columns but the new ones, quoted; only PostgreSQL has
    some."""
    if op.get_bind().dialect.name == "sqlite":
        return []
    comments = """
        SELECT CASE WHEN objsubid = 0 THEN 'VIEW v_images' ELSE 'COLUMN v_images.' || attname END,
               quote_literal(description)
        FROM pg_description
        LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid
        WHERE objoid = CAST('v_images' AS regclass) AND coalesce(attname, '') NOT IN
              ('unit', 'facts')
    """
    return [(row[0], row[1]) for row in op.get_bind().execute(sa.text(comments))]
