"""The page: one static template, one style, one script, one island of JSON.

Words of models and names of files are in the island alone, where no character of them can end it;
the script puts them on the page as text. The policy in the page lets nothing else run and nothing
be fetched, by the hashes of our own style and script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib import resources
from typing import Any

_PLACE = re.compile(r"@@(\w+)@@")


def page(data: dict[str, Any]) -> str:
    """The whole file."""
    style, script = _text("report.css"), _text("report.js")
    parts = {
        "POLICY": _policy(style, script),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": island(data),
    }
    return _PLACE.sub(lambda place: parts[place[1]], _text("page.html"))


def island(data: dict[str, Any]) -> str:
    """JSON in ASCII without the characters that mean something to an HTML parser."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}';"
        f" script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _text(name: str) -> str:
    return (resources.files(__package__) / name).read_text("utf-8")
