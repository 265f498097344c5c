"""Alembic's entry point: one connection, one lock and one transaction for each run."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from models.engine import make_engine
from models.tables import Base

LOCK = 0x0765727374  # the key of pg_advisory_xact_lock: an arbitrary constant


def run() -> None:
    engine = make_engine(context.config.attributes["url"])
    try:
        with engine.connect() as connection:
            context.configure(
                connection=connection,
                target_metadata=Base.metadata,
                render_as_batch=connection.dialect.name == "sqlite",
                compare_type=True,
                compare_server_default=False,
            )
            # on SQLite BEGIN IMMEDIATE serialises migrations; PostgreSQL needs a lock
            with context.begin_transaction():
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
                context.run_migrations()
    finally:
        engine.dispose()


run()
