"""The conditions of the indexes that hold few of a table's rows, word for word as in
models/tables.py: SQLite uses such an index only where a query says the same."""

from __future__ import annotations

from sqlalchemy import ColumnElement, literal_column


def _sql(text: str) -> ColumnElement[bool]:
    return literal_column(text)  # of type bool it would become "text = 1" on SQLite


TRIED = _sql("images.attempts > 0 AND images.status IN ('pending', 'prepared')")
"""Images that are or were worked on; those under a lease have ``lease_until`` above 0."""
TROUBLED = _sql("images.error IS NOT NULL AND images.status IN ('pending', 'prepared')")
"""Images that wait for a reason."""
UPLOADED = _sql("images.location LIKE 'upload:%'")
"""Images of the uploads of the HTTP API (core/images/uploaded.py)."""
READY = _sql("nodes.status = 'ready'")
RUNNING = _sql("nodes.status = 'running'")
WAITING = _sql("nodes.status = 'waiting'")
LEASED_FILE = _sql("files.lease_token IS NOT NULL")
