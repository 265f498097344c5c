"""Writes docs/settings.md from core/settings.py: ``make settings``.

Each setting's description is the comment beside it or above it, so that the page says what the code
says. A comment after an empty line begins a section.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from core import settings
from core.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
HEAD = """# Settings

Environment variables. An empty one is not set. `overstory doctor` shows the value and source of
each, but no keys. `make settings` writes this page from `core/settings.py`.

What no variable sets may stand in a configuration file, which `overstory init` writes: on Linux
`~/.config/overstory/config.toml`, on macOS `~/Library/Application Support/overstory/config.toml`;
`OVERSTORY_CONFIG` names another. It is TOML, one setting a line, without `OVERSTORY_` and in small
letters: `base_url = "http://localhost:8000/v1"`. A list may be a TOML list. A key in the file wins
over `STEPFUN_API_KEY`, which other programs read too. Commands and workers read the file anew at
each start.

`OVERSTORY_HOME` (on Linux `~/.local/share/overstory`) holds all state: `overstory.db` (jobs,
answers, ledger), `blobs/` (prepared images), `uploads/` (images that came over HTTP, as long as a
job has them), `logs/` (one file for each process), `broker/` and `run/` (embedded Valkey),
`documents/` (copies of documents behind URLs, for a day), `spool/` (paid replies that the database
could not take yet), and `sidecars` (which files beside pictures are ours). Back up the database,
and `uploads/` for retries; the rest can be rebuilt. Only its owner can read it. A report, an export
or a file beside a picture is written with your own umask.
"""
_COMMENT = re.compile(r"^ +# ?(.*)$")


@dataclass(frozen=True, slots=True)
class Row:
    """A setting as the page shows it. ``section``: the heading above it."""

    section: str
    name: str
    default: str
    says: str


def page() -> str:
    """The page as Markdown."""
    lines = [HEAD]
    section = None
    for row in rows():
        if row.section != section:
            section = row.section
            lines.append(f"## {section}\n\n| setting | meaning | default |\n|---|---|---|")
        lines.append(f"| `{row.name}` | {row.says} | {row.default} |")
    return re.sub(r"\n## ", "\n\n## ", "\n".join(lines)).replace("\n\n\n", "\n\n") + "\n"


def rows() -> Iterator[Row]:
    """All settings, in the order of the code."""
    source = inspect.getsource(settings)
    lines = source.splitlines()
    (body,) = (node for node in ast.parse(source).body if getattr(node, "name", None) == "Settings")
    assert isinstance(body, ast.ClassDef)
    section = ""
    for node in body.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        above = _above(lines, node.lineno - 1)
        if above and lines[node.lineno - 2 - len(above)] == "":
            section, above = above[0].rstrip(".").partition(". ")[0], above[1:]
        beside = " ".join(_beside(line) for line in lines[node.lineno - 1 : node.end_lineno])
        description = " ".join([*above, beside.strip()]).strip()
        field = Settings.model_fields[node.target.id]
        yield Row(section, _variable(node.target.id, field), _default(field), _cell(description))


def _above(lines: list[str], at: int) -> list[str]:
    """The comment lines directly above line ``at``."""
    first = at
    while _COMMENT.match(lines[first - 1]):
        first -= 1
    return [_COMMENT.sub(r"\1", line) for line in lines[first:at]]


def _beside(line: str) -> str:
    return line.partition("  # ")[2]


def _variable(name: str, field: FieldInfo) -> str:
    names = getattr(field.validation_alias, "choices", None)
    return "`, `".join(map(str, names)) if names else f"OVERSTORY_{name.upper()}"


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if field.default_factory is not None:
        return "the platform's folder for data"
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,g}" if isinstance(value, int | float) else f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("None: ", "Not set: ").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
