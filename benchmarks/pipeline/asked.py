"""A job's requests from its database rows, as the tree that the bounds need."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from benchmarks.pipeline.bounds import Tree
from models.engine import Database

LEAVES = """
SELECT count(*) FROM images i JOIN nodes n ON n.id = i.node_id WHERE n.kind = 'leaf'
GROUP BY n.id ORDER BY n.id
"""
CALLS = """
SELECT n.kind, c.prompt_tokens + c.completion_tokens FROM calls c JOIN nodes n ON n.id = c.node_id
WHERE c.status = 'settled' ORDER BY c.id
"""


def asked(database: Path, depth: int) -> Tree:
    """Images per leaf and billed tokens per request, of the only job in the file."""
    opened = Database(f"sqlite:///{database}")
    try:
        with opened.read() as connection:
            leaves = connection.execute(text(LEAVES)).scalars().all()
            calls = connection.execute(text(CALLS)).all()
    finally:
        opened.dispose()
    return Tree(
        leaves=tuple(leaves),
        looked=tuple(tokens for kind, tokens in calls if kind == "leaf"),
        read=tuple(tokens for kind, tokens in calls if kind != "leaf"),
        depth=depth,
    )
