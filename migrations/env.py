"""Alembic's entry: one connection, one lock, one transaction a run."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from models.engine import make_engine
from models.tables import Base

LOCK = 0x0765727374  # any constant of our own: pg_advisory_xact_lock's key


def run() -> None:
    engine = make_engine(context.config.attributes["url"])
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=connection.dialect.name == "sqlite",
            compare_type=True,
            compare_server_default=False,
        )
        # SQLite: BEGIN IMMEDIATE serialises migrators; PostgreSQL needs to be told
        with context.begin_transaction():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            context.run_migrations()
    engine.dispose()


run()
