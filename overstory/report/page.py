"""The page: one static template, one style, one script and one block of JSON.

Model output and file names are only in the JSON, escaped so that they cannot end its element; the
script puts them on the page as text. The page's Content-Security-Policy names our style and script
by hash: nothing else runs, and nothing is loaded.
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
    """The HTML file for ``data`` (see report_data)."""
    return _filled("page.html", _text("report.css"), _text("report.js"), data)


def review_page(data: dict[str, Any]) -> str:
    """The HTML file for ``data`` (see review_data), in the look of the report."""
    style = _text("report.css") + _text("review.css")
    return _filled("review.html", style, _text("review.js"), data)


def _filled(template: str, style: str, script: str, data: dict[str, Any]) -> str:
    parts = {
        "POLICY": _policy(style, script),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": island(data),
    }
    return _PLACE.sub(lambda place: parts[place[1]], _text(template))


def island(data: dict[str, Any]) -> str:
    """``data`` as ASCII JSON, without the characters that an HTML parser acts on."""
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
