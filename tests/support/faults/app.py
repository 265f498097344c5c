"""``celery -A tests.support.faults.app``: the product's app with the gauntlet's traps in it."""

from __future__ import annotations

from tests.support.faults import crash_points
from workers.app import app

__all__ = ["app"]

crash_points.install()
