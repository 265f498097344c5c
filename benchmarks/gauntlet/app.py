"""The product's Celery app with the gauntlet's traps in it: ``celery -A benchmarks.gauntlet.app``."""

from __future__ import annotations

from benchmarks.gauntlet import crashpoints
from workers.app import app

__all__ = ["app"]

crashpoints.install()
