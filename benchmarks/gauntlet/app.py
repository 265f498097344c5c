"""``celery -A benchmarks.gauntlet.app``: the product's app with fault injection."""

from __future__ import annotations

from benchmarks.gauntlet import crashpoints
from workers.app import app

__all__ = ["app"]

crashpoints.install()
