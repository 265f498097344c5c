"""The columns of the tables, for the terminal and for docs/performance.md alike.

A line is one job: its rounds, each as a ``Row`` in the form of results.json. ``RIVALS`` shows every
round; the other tables show the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]
Rounds = Sequence[Row]
Column = tuple[str, Callable[[Rounds], str]]

PARTS = ("command", "preprocess", "upload", "infer", "broker")


def grouped(rows: Sequence[Row]) -> list[Rounds]:
    """The rounds of each job, in the order of the rows."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["name"], []).append(row)
    return list(groups.values())


def conditions(rows: Sequence[Row]) -> str:
    """A sentence about the pictures and the provider."""
    kinds = {row["side"]: row["picture_bytes"] for row in rows}
    sizes = [f"{side} x {side * 3 // 4} of {kinds[side] / 1000:,.0f} kB" for side in kinds]
    calls = ", ".join(f"{call:g} s" for call in sorted({row["latency_seconds"] for row in rows}))
    return (
        f"Pictures: {', '.join(sizes)}; calls of {calls}, windows of 60 s unless a row names one."
    )


def _mean(rounds: Rounds, value: Callable[[Row], float]) -> float:
    return sum(value(row) for row in rounds) / len(rounds)


def _wall(row: Row) -> float:
    return float(row["wall"])


def _ours(rounds: Rounds) -> str:
    return ", ".join(f"{row['wall']:.1f}" for row in rounds)


def _script(rounds: Rounds) -> str:
    return ", ".join(_rival(row["script"]) for row in rounds if row["script"])


def _rival(rival: Row) -> str:
    """Seconds, and the answered pictures if some are missing."""
    answered = f" ({rival['answers']:,} of {rival['images']:,} answered)"
    return f"{rival['seconds']:.1f}{answered if _missing(rival) else ''}"


def _missing(rival: Row) -> bool:
    return bool(rival["answers"] < rival["images"])


def _against_script(rounds: Rounds) -> str:
    """Of the means over the rounds in which the script answered about every picture."""
    whole = [row for row in rounds if row["script"] and not _missing(row["script"])]
    if not whole:
        return ""
    script = _mean(whole, lambda row: float(row["script"]["seconds"]))
    return f"{_mean(whole, _wall) / script:.2f}"


def _daft(rounds: Rounds) -> str:
    return ", ".join(_rival(row["daft"]) for row in rounds if row["daft"])


def _least(rounds: Rounds) -> str:
    least = _mean(rounds, lambda row: float(row["schedule"]))
    return f"{least:.1f} ({rounds[-1]['schedule_binds']})"


def _over(kind: str) -> Callable[[Rounds], str]:
    """Mean wall time over the mean schedule of that kind."""
    return lambda rounds: (
        f"{_mean(rounds, _wall) / _mean(rounds, lambda row: float(row[kind])):.2f}"
    )


def _refused(rounds: Rounds) -> str:
    """Refused calls of the last round: ours, the script's, Daft's."""
    last = rounds[-1]
    rivals = [row for row in (last["script"], rounds[0]["daft"]) if row]
    return ", ".join(str(row["refused"]) for row in (last, *rivals))


def _last(text: Callable[[Row], str]) -> Callable[[Rounds], str]:
    return lambda rounds: text(rounds[-1])


def _at(kind: str) -> Callable[[Rounds], str]:
    return _last(lambda row: f"{row[kind]:.1f}")


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f}"


def _peaks(row: Row) -> str:
    return ", ".join(f"{row['peak_bytes'].get(part, 0) / 1e6:.0f}" for part in PARTS)


JOB: Sequence[Column] = (
    ("images", _last(lambda row: f"{row['images']:,}{' small' if row['small'] else ''}")),
    ("tier", _last(lambda row: str(row["tier"]))),
)
RIVALS: Sequence[Column] = (
    *JOB,
    ("run, s", _ours),
    ("script, s", _script),
    ("run / script", _against_script),
    ("least, s (limit)", _least),
    ("run / least", _over("schedule")),
    ("same, on the cores left", _over("schedule_here")),
    ("Daft, s", _daft),
    ("429: run, script, Daft", _refused),
)
WHEN: Sequence[Column] = (
    *JOB,
    ("first image", _at("start")),
    ("first answer", _at("first_answer")),
    ("last image", _at("last_prepared")),
    ("answer", _at("finished")),
    ("exit", _last(lambda row: f"{row['finished'] + row['stop']:.1f}")),
    (
        "images not prepared at first call",
        _last(lambda row: f"{row['unprepared_at_first_call']:,}"),
    ),
    ("branch delay, ms", _last(lambda row: _ms(row["parent_late"]))),
)
COST: Sequence[Column] = (
    *JOB,
    ("image work, ms", _at("bare_ms")),
    ("other, ms", _at("other_ms")),
    ("sandbox, ms", _last(lambda row: f"{row['sandbox_cpu'] / row['images'] * 1000:.1f}")),
    ("uploads", _last(lambda row: f"{row['uploads']:,}")),
    ("peak MB: command, preprocess, upload, infer, broker", _last(_peaks)),
    (
        "database, broker bytes",
        _last(lambda row: f"{row['database_bytes']:,.0f}, {row['broker_bytes']:,.0f}"),
    ),
    ("load", _at("load")),
)
TABLES: Sequence[tuple[str, Sequence[Column]]] = (
    ("Seconds from start to exit, over the same files, in turn (a number for each round)", RIVALS),
    ("Events, in seconds after the start of the command", WHEN),
    ("CPU and bytes for each image, and peak memory", COST),
)


def lines(columns: Sequence[Column], rows: Sequence[Row]) -> list[list[str]]:
    """The cells of a table, a line for each job."""
    return [[text(rounds) for _, text in columns] for rounds in grouped(rows)]
