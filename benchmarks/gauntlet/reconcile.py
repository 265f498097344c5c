"""``overstory reconciler`` with fault injection."""

from __future__ import annotations

from benchmarks.gauntlet import crashpoints
from overstory.cli import cli

if __name__ == "__main__":
    crashpoints.install()
    cli.main(["reconciler"])
