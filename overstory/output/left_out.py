"""Says which entries of folders are not in a job."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from overstory.output.plural import pluralize
from overstory.output.terminal import print_plain

SHOWN = 3


def print_left_out(console: Console, ignored: Sequence[str], passed_over: Sequence[str]) -> None:
    """Print how many files are not images, and how many folders and files of systems and photo
    programs were passed over, with the first names of both."""
    if ignored:
        files = pluralize(len(ignored), "file that is not an image", "files that are not images")
        print_plain(console, f"skipped {files} ({_some(ignored)})")
    if passed_over:
        count = pluralize(len(passed_over), "folder or file", "folders and files")
        print_plain(
            console,
            f"skipped {count} of systems and photo programs ({_some(passed_over)};"
            " OVERSTORY_SKIP_FOLDERS)",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")
