"""What ``overstory tune`` prints: the table, the choice, and the command that uses it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from core.settings import Settings, load
from core.truth.choice import Choice
from core.truth.score import FieldScore
from overstory.output.progress import duration
from overstory.output.tables import clipped, table
from overstory.output.terminal import print_plain, safe_line
from overstory.tuning import PER, Measured, Setting, reason_for

SHARE_WIDTH = 13
"""Of ``100% (94-100)``; longer names of fields are cut to it."""
LISTED = 3
"""Settings that were not asked for one reason; more are counted, and --json lists them."""
FIELDS_BESIDE = 2
"""With more fields the table shows their mean, and a second table shows each of them."""


def print_tuned(
    console: Console,
    settings: Settings,
    measured: Sequence[Measured],
    skipped: Mapping[Setting, str],
    choice: Choice,
    profile: str | None,
) -> None:
    """Print all. ``skipped``: settings that were not asked, and why. ``profile``: its name, if it
    was written."""
    names = list(measured[0].score.fields)
    console.print(_table(settings, measured, choice, names))
    if len(names) > FIELDS_BESIDE:
        console.print()
        console.print(_fields(measured[choice.chosen], measured[choice.best]))
    for line in _legend(measured):
        console.print(Text(line, "dim"), soft_wrap=True)
    for why in dict.fromkeys(skipped.values()):
        left = [setting for setting, reason in skipped.items() if reason == why]
        which = f"{len(left)} settings" if len(left) > LISTED else "; ".join(map(str, left))
        print_plain(console, f"not asked ({safe_line(why)}): {which}")
    one = measured[choice.chosen]
    console.print()
    print_plain(console, f"{one.setting}: {reason_for(choice, measured)}.")
    if not any(other.mean for other in measured):
        print_plain(console, "No setting has an answer right: compare question, schema and truth.")
    if profile is not None:
        print_plain(console, f"next: {_next_step(settings, profile)}")


@dataclass(frozen=True, slots=True)
class _Column:
    """``head`` begins with ``=`` for numbers, as in ``table``."""

    head: str
    cell: Callable[[Measured], str]


def _table(
    settings: Settings, measured: Sequence[Measured], choice: Choice, names: Sequence[str]
) -> Table:
    columns = [*_setting_columns(measured), *_share_columns(names), *_other_columns(measured)]
    drawn = table(*(column.head for column in columns), "")
    for place, one in enumerate(measured):
        worse = choice.against[place].worse
        mark = "chosen" if place == choice.chosen else "worse" if worse else ""
        cells = [Text(column.cell(one)) for column in columns]
        drawn.add_row(*cells, mark, style="bold" if place == choice.chosen else "")
    return drawn


def _setting_columns(measured: Sequence[Measured]) -> list[_Column]:
    """What all settings share is in the sentence below, and needs no column."""
    columns = [_Column("=pack", lambda one: str(one.setting.pack))]
    if _differ([one.setting.detail for one in measured]):
        columns.append(_Column("detail", lambda one: one.setting.detail))
    if _differ([one.setting.model for one in measured]):
        columns.append(_Column("model", lambda one: safe_line(one.setting.model)))
    return columns


def _share_columns(names: Sequence[str]) -> list[_Column]:
    if len(names) > FIELDS_BESIDE:
        return [_Column("=right", lambda one: f"{one.mean:.0%}")]
    return [
        _Column(
            f"={clipped(safe_line(name), SHARE_WIDTH)}",
            lambda one, name=name: _share(one.score.fields[name]),  # type: ignore[misc]
        )
        for name in names
    ]


def _other_columns(measured: Sequence[Measured]) -> list[_Column]:
    columns = []
    if any(one.unanswered for one in measured):
        columns.append(_Column("=none", lambda one: str(one.unanswered)))
    columns.append(_Column("=prompt", lambda one: f"{one.prompt_tokens:,}"))
    columns.append(_Column("=written", lambda one: f"{one.completion_tokens:,}"))
    if any(one.cost for one in measured):
        columns.append(_Column("=cost", lambda one: f"{one.cost:.3g}" if one.cost else "?"))
    return [*columns, _Column("=time", lambda one: duration(one.seconds))]


def _share(field: FieldScore) -> str:
    """``97% (89-99)``; with the error of a number beside it."""
    if not field.of:
        return "-"
    return f"{field.right / field.of:.0%} ({100 * field.low:.0f}-{100 * field.high:.0f})"


def _fields(one: Measured, best: Measured) -> Table:
    """Each field under the chosen setting and under the best."""
    columns = ["field", "=chosen"]
    if best is not one:
        columns.append("=best")
    drawn = table(*columns)
    for name, field in one.score.fields.items():
        cells: list[RenderableType] = [Text(clipped(safe_line(name), 40)), _share(field)]
        if best is not one:
            cells.append(_share(best.score.fields[name]))
        drawn.add_row(*cells)
    return drawn


def _legend(measured: Sequence[Measured]) -> list[str]:
    cost = "cost and time" if any(one.cost for one in measured) else "time"
    images = measured[0].images
    none = "; none: images without an answer" if any(one.unanswered for one in measured) else ""
    lines = [
        f"in brackets: 95 % interval; prompt, written: tokens of the {images} images{none}",
        f"{cost}: of {PER:,} images, at this account's limits",
    ]
    return [*lines, *_errors(measured)]


def _errors(measured: Sequence[Measured]) -> list[str]:
    """Of numbers and sets: the mean error or overlap by setting, where they differ."""
    lines = []
    for name, field in measured[0].score.fields.items():
        if field.figure is None:
            continue
        values = []
        for one in measured:
            mean = one.score.fields[name].figure
            if mean is not None:
                shown = f"{mean.mean:.3g} ({mean.low:.3g}-{mean.high:.3g})"
                values.append(f"{_short(one.setting)}: {shown}")
        lines.append(f"{safe_line(name)}, {field.rule.figure_name}: {', '.join(values)}")
    return lines


def _short(setting: Setting) -> str:
    return f"{setting.pack} {setting.detail}"


def _differ(values: Sequence[str]) -> bool:
    return any(one != other for one, other in pairwise(values))


def _next_step(settings: Settings, profile: str) -> str:
    elsewhere = settings.home != load().home  # named by --home
    home = f" --home {shlex.quote(str(settings.home))}" if elsewhere else ""
    return f"overstory run PATH... --each TEXT --schema FILE --profile {shlex.quote(profile)}{home}"
