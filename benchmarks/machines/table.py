"""The table of the broken links."""

from __future__ import annotations

from benchmarks.machines.run_row import Result

HEAD = (
    f"{'row':<15} {'what broke':<47} {'for':>6} {'job':>6} {'calm':>6} {'in flight':>9}"
    f" {'twice':>5} {'lost':>4} {'back':>7}  ok"
)


def line(result: Result, calm: Result | None) -> str:
    """``calm``: the same jobs' seconds in the calm row; ``back``: from the link's return until
    every machine behind it had begun new work."""
    row = result.row
    start = f"{row.name:<15} {row.title:<47}"
    if result.skipped:
        return f"{start} skipped: {result.skipped}"
    alike = calm is not None and calm.job_seconds and row.size == 1.0
    against = f"x{result.job_seconds / calm.job_seconds:.1f}" if calm and alike else ""
    back = "" if result.back_seconds is None else f"{result.back_seconds:.1f} s"
    broken = f"{result.broken_seconds:.0f} s" if result.broken_seconds else ""
    return (
        f"{start} {broken:>6} {result.job_seconds:>4.0f} s {against:>6} {result.in_flight:>9}"
        f" {result.paid_twice:>5} {result.lost:>4} {back:>7}  {'ok' if result.passed else 'FAIL'}"
    )


def details(result: Result) -> list[str]:
    """What a failed row has broken, and its notes."""
    if result.commands:
        return [f"{'':16}{text}" for text in (*result.commands, *result.figures.broken)]
    if result.passed or result.skipped:
        return []
    notes = ", ".join(f"{name} {value}" for name, value in result.figures.notes.items())
    return [f"{'':16}{text}" for text in (*result.figures.broken, notes)]
