"""``overstory reconciler`` with fault injection."""

from __future__ import annotations

from overstory.cli import cli
from tests.support.faults import crash_points

if __name__ == "__main__":
    crash_points.install()
    cli.main(["reconciler"])
