"""Writes the sync client from the async one: ``python clients-http/generate.py``.

Both are typed and documented, and only one of them is written by hand.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "src" / "overstory_client"
MODULES = ("client", "transport", "uploads")
WORDS = (
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsync(Client|Transport|Uploads|Iterator)\b", r"\1"),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"\b_async\b", "_sync"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\ba(close|read|iter_bytes)\b", r"\1"),
    (r"\bTasks may share\b", "Threads may share"),
    (r"\((client\.\w+\([^()]*\))\)([.\[])", r"\1\2"),  # what was awaited needs no brackets
)


def generated(module: str) -> str:
    """A module of the sync client, in ruff's format."""
    text = (PACKAGE / "_async" / f"{module}.py").read_text("utf-8")
    for pattern, instead in WORDS:
        text = re.sub(pattern, instead, text)
    head, _, rest = text.partition("\n\n")
    text = f"{head}\n# Written by clients-http/generate.py from _async/{module}.py.\n\n{rest}"
    for words in (["check", "--quiet", "--fix", "--select", "F401,I"], ["format", "--quiet"]):
        text = _ruff(words, PACKAGE / "_sync" / f"{module}.py", text)
    return text


def _ruff(words: list[str], path: Path, text: str) -> str:
    command = [sys.executable, "-m", "ruff", *words, "--stdin-filename", str(path), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def main() -> None:
    for module in MODULES:
        (PACKAGE / "_sync" / f"{module}.py").write_text(generated(module), "utf-8")


if __name__ == "__main__":
    main()
