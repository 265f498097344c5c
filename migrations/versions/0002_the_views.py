"""the views

What analysts read: stable names, real timestamps (UTC), a comment on every view and column in
PostgreSQL. And the indexes that their questions need: by file name, by failure, by words in notes.

Policy: one step a migration; additive while workers run (new columns are nullable or have a
server default; drops wait for the release after the last reader); see migrations/README.md.

Revision: 0002
Revises: 0001
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


class View(NamedTuple):
    """A view: what it is, its columns (name, expression, meaning), and where they come from."""

    name: str
    comment: str
    columns: list[tuple[str, str, str]]
    source: str


def _now_or_then(word: str) -> str:
    """A coverage count: counted while the job runs, stored when it has ended."""
    counted = f"SELECT count(*) FROM images i WHERE i.job_id = j.id AND i.status = '{word}'"
    return f"CASE WHEN j.finished_at IS NULL THEN ({counted}) ELSE j.{word} END"


def _spent(expression: str) -> str:
    return f"(SELECT coalesce(sum({expression}), 0) FROM calls c WHERE c.job_id = j.id)"


JOBS = View(
    "v_jobs",
    "One question about one set of images",
    [
        ("job", "j.id", "Id of the job"),
        ("key", "j.key", "The same key is the same job"),
        ("label", "j.label", "The submitter's own word"),
        ("status", "j.status", "running, paused, completed, partial, failed or cancelled"),
        ("reason", "j.reason", "Why it is paused or failed"),
        ("ask", "j.ask", "The question"),
        ("answer", "j.answer", "The answer; [n] cites the image at position n"),
        ("model", "j.model", "The model asked"),
        ("endpoint", "j.endpoint", "Where it was asked; sandbox is the local stand-in"),
        ("account", "j.account", "Hash of the account that pays"),
        ("weight", "j.weight", "Its share of the account beside other jobs"),
        ("submitted", "j.submitted", "Images submitted"),
        ("included", _now_or_then("included"), "Images the answer rests on"),
        ("failed", _now_or_then("failed"), "Images refused, each with a code and a sentence"),
        ("duplicate", _now_or_then("duplicate"), "Images with the bytes of an earlier one"),
        ("skipped", _now_or_then("skipped"), "Images whose turn never came"),
        (
            "requests",
            "(SELECT count(*) FROM calls c WHERE c.job_id = j.id AND c.status <> 'started')",
            "Requests sent for it",
        ),
        ("tokens", _spent("c.prompt_tokens + c.completion_tokens"), "Tokens paid for it"),
        ("cost", _spent("c.cost"), "Money paid for it, in the currency of its calls"),
        ("created_at", "{time:j.created_at}", "When it was submitted"),
        ("finished_at", "{time:j.finished_at}", "When it ended"),
        ("seconds", "j.finished_at - j.created_at", "How long it took"),
    ],
    "jobs j",
)
IMAGES = View(
    "v_images",
    "One submitted image: a file, a URL or a page of a document",
    [
        ("image", "i.id", "Id of the image"),
        ("job", "i.job_id", "Its job"),
        ("label", "j.label", "Its job's label"),
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
        ("updated_at", "{time:i.updated_at}", "When its status last changed"),
    ],
    "images i JOIN jobs j ON j.id = i.job_id",
)
NODES = View(
    "v_nodes",
    "One node of a job's summary tree; the root has no parent",
    [
        ("node", "n.id", "Id of the node"),
        ("job", "n.job_id", "Its job"),
        ("label", "j.label", "Its job's label"),
        ("parent", "n.parent_id", "The node that reads its notes"),
        ("split_from", "n.split_from", "The node it came from when a request was divided"),
        ("kind", "n.kind", "leaf looks at images, branch reads notes"),
        ("level", "n.level", "0 for a leaf"),
        ("first_position", "n.first_position", "First image below it"),
        ("last_position", "n.last_position", "Last image below it"),
        ("status", "n.status", "waiting, ready, running, done, failed, split or cancelled"),
        ("images", "n.images", "Images included below it"),
        ("notes", "n.text", "What it found; the root's is the answer"),
        ("refused_citations", "n.refused_citations", "Citations of images not below it, taken out"),
        ("error_code", "n.error_code", "Why it failed, of a closed set"),
        ("error", "n.error", "Why it failed or waits, in a sentence"),
        ("attempts", "n.attempts", "Times it was tried"),
        ("started_at", "{time:n.started_at}", "When it was first tried"),
        ("finished_at", "{time:n.finished_at}", "When it was done or failed"),
        ("seconds", "n.finished_at - n.started_at", "From the first try to the end"),
    ],
    "nodes n JOIN jobs j ON j.id = n.job_id",
)
CALLS = View(
    "v_calls",
    "One paid request: written before it is sent, settled after",
    [
        ("call", "c.id", "Id of the call"),
        ("key", "c.key", "Hash of everything asked; the same request is paid once"),
        ("job", "c.job_id", "The job it was first sent for"),
        ("node", "c.node_id", "The node it was first sent for"),
        ("account", "c.account", "Hash of the account that pays"),
        ("model", "c.model", "The model asked"),
        ("status", "c.status", "started, settled, refused, failed, or unknown (maybe paid)"),
        ("images", "c.images", "Images in the request"),
        ("prompt_tokens", "c.prompt_tokens", "Tokens in"),
        ("cached_tokens", "c.cached_tokens", "Tokens in that the provider had in its cache"),
        ("completion_tokens", "c.completion_tokens", "Tokens out"),
        ("cost", "c.cost", "Money, from the price table"),
        ("currency", "c.currency", "Of cost"),
        ("finish_reason", "c.finish_reason", "Why the reply ended"),
        ("http_status", "c.http_status", "What the provider answered with"),
        ("error", "c.error", "Why there is no reply"),
        ("trace", "c.trace", "The provider's trace id, which its support asks for"),
        ("started_at", "{time:c.started_at}", "When it was written, just before it was sent"),
        ("settled_at", "{time:c.settled_at}", "When its end was recorded"),
        ("seconds", "c.settled_at - c.started_at", "How long it took"),
    ],
    "calls c",
)
USAGE = View(
    "v_usage_daily",
    "What each account used, by day (UTC) and model",
    [
        ("day", "{day:c.started_at}", "The day, UTC"),
        ("account", "c.account", "Hash of the account"),
        ("model", "c.model", "The model asked"),
        ("currency", "c.currency", "Of cost"),
        ("requests", "count(*)", "Requests sent"),
        ("settled", "sum(CASE WHEN c.status = 'settled' THEN 1 ELSE 0 END)", "Answered and paid"),
        ("refused", "sum(CASE WHEN c.status = 'refused' THEN 1 ELSE 0 END)", "Refused"),
        (
            "failed",
            "sum(CASE WHEN c.status IN ('failed', 'unknown') THEN 1 ELSE 0 END)",
            "Lost or turned away",
        ),
        ("images", "sum(CASE WHEN c.status = 'settled' THEN c.images ELSE 0 END)", "Images seen"),
        ("prompt_tokens", "sum(c.prompt_tokens)", "Tokens in"),
        ("cached_tokens", "sum(c.cached_tokens)", "Tokens in from the provider's cache"),
        ("completion_tokens", "sum(c.completion_tokens)", "Tokens out"),
        ("cost", "sum(c.cost)", "Money, from the price table"),
    ],
    "calls c GROUP BY {day:c.started_at}, c.account, c.model, c.currency",
)
FAILED = {
    "job": "SELECT 'job', j.id, j.label, NULL, NULL, NULL, NULL, j.reason, {time:j.finished_at}"
    " FROM jobs j WHERE j.status = 'failed'",
    "image": "SELECT 'image', i.job_id, j.label, i.position, i.name, i.node_id, i.error_code,"
    " i.error, {time:i.updated_at} FROM images i JOIN jobs j ON j.id = i.job_id"
    " WHERE i.status = 'failed'",
    "node": "SELECT 'node', n.job_id, j.label, NULL, NULL, n.id, n.error_code, n.error,"
    " {time:n.finished_at} FROM nodes n JOIN jobs j ON j.id = n.job_id WHERE n.status = 'failed'",
    "call": "SELECT 'call', c.job_id, j.label, NULL, NULL, c.node_id, c.status, c.error,"
    " {time:c.settled_at} FROM calls c LEFT JOIN jobs j ON j.id = c.job_id"
    " WHERE c.status IN ('refused', 'failed', 'unknown')",
}
FAILURES = View(
    "v_failures",
    "Everything that failed, by scope: jobs, images, nodes, calls",
    [
        ("scope", "", "job, image, node or call"),
        ("job", "", "The job it belongs to"),
        ("label", "", "The job's label"),
        ("position", "", "The image's place in the input"),
        ("name", "", "The image's file name"),
        ("node", "", "The node it belongs to"),
        ("code", "", "Why, of a closed set; a call's status"),
        ("error", "", "Why, in a sentence"),
        ("at", "", "When"),
    ],
    " UNION ALL ".join(FAILED.values()),
)
VIEWS = (JOBS, IMAGES, NODES, CALLS, USAGE, FAILURES)


def _sql(view: View, dialect: str) -> str:
    names = ", ".join(f'"{name}"' for name, _, _ in view.columns)
    given = ", ".join(expression for _, expression, _ in view.columns if expression)
    body = f"SELECT {given} FROM {view.source}" if given else view.source
    return f"CREATE VIEW {view.name} ({names}) AS {_in_dialect(body, dialect)}"


def _in_dialect(sql: str, dialect: str) -> str:
    """Fill {time:x} and {day:x}, from seconds since 1970."""
    forms = {
        "postgresql": {
            "time": "to_timestamp({0})",
            "day": "CAST(to_timestamp({0}) AT TIME ZONE 'UTC' AS date)",
        },
        "sqlite": {
            "time": "strftime('%Y-%m-%d %H:%M:%f', {0}, 'unixepoch')",
            "day": "date({0}, 'unixepoch')",
        },
    }[dialect]
    for word, form in forms.items():
        while f"{{{word}:" in sql:
            before, _, rest = sql.partition(f"{{{word}:")
            inside, _, after = rest.partition("}")
            sql = before + form.format(inside) + after
    return sql


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    # by file name, whole or by its beginning
    op.create_index("ix_images_name", "images", ["name"], postgresql_ops={"name": "text_pattern_ops"})
    # what failed, out of rows of which nearly all did not
    failed = sa.text("status = 'failed'")
    op.create_index(
        "ix_images_failed", "images", ["job_id", "position"],
        sqlite_where=failed, postgresql_where=failed,
    )
    if dialect == "postgresql":
        # words in notes
        op.execute(
            "CREATE INDEX ix_nodes_words ON nodes"
            " USING gin (to_tsvector('simple', coalesce(text, '')))"
        )
    for view in VIEWS:
        op.execute(sa.text(_sql(view, dialect).replace(":", r"\:")))
        if dialect == "postgresql":
            op.execute(sa.text(f"COMMENT ON VIEW {view.name} IS {_quoted(view.comment)}"))
            for name, _, meaning in view.columns:
                op.execute(
                    sa.text(f'COMMENT ON COLUMN {view.name}."{name}" IS {_quoted(meaning)}')
                )


def downgrade() -> None:
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view.name}")
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_nodes_words", table_name="nodes")
    op.drop_index("ix_images_failed", table_name="images")
    op.drop_index("ix_images_name", table_name="images")
