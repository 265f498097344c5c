"""The page: one static template, one style, one script and one block of JSON.

The script is written as modules, which the service's page shares. Here they become one script.

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

MODULES = (
    *("dom", "state", "words", "prose", "viewer", "citations", "answers", "units", "answer"),
    *("accuracy", "coverage", "tree", "course", "gallery", "pages", "theme", "main"),
)
"""In the order in which they are evaluated: what a module does at once needs those before it."""
_PLACE = re.compile(r"@@(\w+)@@")
_OUTWARD = re.compile(r'^import (?:.* from )?"\./\w+\.js";\n|^export (?=const |let )', re.MULTILINE)


def page(data: dict[str, Any]) -> str:
    """The HTML file for ``data`` (see report_data)."""
    return _filled("page.html", _text("report.css"), _script(), data)


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
        **parts_of_report(),
    }
    return _PLACE.sub(lambda place: parts[place[1]], _text(template))


def parts_of_report() -> dict[str, str]:
    """The parts of a report as they are before the script fills them, by their places."""
    return {"OPENING": _text("opening.html"), "SECTIONS": _text("sections.html")}


@cache
def _script() -> str:
    """The modules in one scope, where their names are distinct. Each begins with its imports, one a
    line, of names that are in the same scope here."""
    modules = (_text(f"script/{name}.js") for name in MODULES)
    text = "".join(_OUTWARD.sub("", module) for module in modules)
    return f'"use strict";\n(() => {{\n{text}}})();\n'


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
