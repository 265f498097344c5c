"""The documentation page of the HTTP API, drawn from its OpenAPI description."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

from markdown_it import MarkdownIt

MARKDOWN = MarkdownIt("js-default", {"html": False})
METHODS = ("get", "put", "post", "delete", "patch")
STYLE = """
main { max-width: 60rem; margin: 2rem auto 6rem; padding: 0 1rem }
article, section { border-top: 1px solid var(--line); padding: 1rem 0 }
h2 { margin: 2.5rem 0 .5rem } h3 { margin: 0; font-size: 1rem } p { margin: .6rem 0 }
nav ul { columns: 22rem; list-style: none; padding: 0; margin: .3rem 0 }
nav li { padding: .1rem 0; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 }
td, th { padding: .25rem 1rem .25rem 0; text-align: left; vertical-align: top;
  border-top: 1px solid var(--line) }
td:first-child { white-space: nowrap } .kind { color: var(--soft) }
@media (max-width: 40rem) { td { display: block; border: 0; padding: 0 }
  td:first-child { border-top: 1px solid var(--line); padding-top: .4rem } th { display: none } }
"""
Json = dict[str, Any]
Row = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Operation:
    """``route``: its method and path. ``value``: what OpenAPI says of it."""

    tag: str
    route: str
    value: Json

    @property
    def anchor(self) -> str:
        return re.sub(r"[^A-Za-z0-9]+", "-", self.route).strip("-")


def reference_page(openapi: Json) -> str:
    """One HTML page without scripts, in the look of the report."""
    style = resources.files("overstory.report").joinpath("report.css").read_text("utf-8")
    info = openapi["info"]
    title = escape(f"{info['title']} API {info['version']}")
    groups: dict[str, list[Operation]] = {}
    for operation in _operations(openapi):
        groups.setdefault(operation.tag, []).append(operation)
    contents = "".join(
        f"<p><b>{escape(tag)}</b><ul>{''.join(map(_entry, group))}</ul>"
        for tag, group in groups.items()
    )
    sections = "".join(
        f"<h2>{escape(tag)}</h2>{''.join(map(_article, group))}" for tag, group in groups.items()
    )
    schemas = openapi.get("components", {}).get("schemas", {})
    objects = "".join(_object(name, schema) for name, schema in sorted(schemas.items()))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}{STYLE}</style><main>"
        f"<h1>{title}</h1><p>{escape(info['description'])}</p>"
        '<p>For programs: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>'
        f'<nav aria-label="Routes">{contents}</nav>{sections}'
        f"<h2>objects</h2>{objects}</main></html>"
    )


def _operations(openapi: Json) -> Iterator[Operation]:
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                tag = operation.get("tags", ["other"])[0]
                yield Operation(tag, f"{method.upper()} {path}", operation)


def _entry(operation: Operation) -> str:
    return f'<li><a href="#{operation.anchor}"><code>{escape(operation.route)}</code></a>'


def _article(operation: Operation) -> str:
    told = operation.value
    bodies = [
        (f"{kind}: {_kind(content['schema'])}" if "schema" in content else kind)
        for kind, content in told.get("requestBody", {}).get("content", {}).items()
    ]
    rows = [*_parameters(told), *(("body", body, "") for body in bodies)]
    text = MARKDOWN.render(told.get("description") or told.get("summary", ""))
    return (
        f'<article id="{operation.anchor}"><h3><code>{escape(operation.route)}</code></h3>'
        f"{text}{_table(rows)}</article>"
    )


def _object(name: str, schema: Json) -> str:
    rows = [
        (field, _kind(kind) + " (required)" * (field in schema.get("required", [])), _about(kind))
        for field, kind in schema.get("properties", {}).items()
    ]
    text = MARKDOWN.render(schema.get("description", ""))
    values = " | ".join(map(str, schema.get("enum", [])))
    return (
        f'<section id="{escape(name)}"><h3><code>{escape(name)}</code></h3>{text}'
        f"{escape(values)}{_table(rows)}</section>"
    )


def _table(rows: list[Row]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td><code>{escape(name)}</code><td class=kind>{kind}<td>{escape(about)}"
        for name, kind, about in rows
    )
    return f"<table><tr><th>name<th>kind<th>meaning{lines}</table>"


def _parameters(operation: Json) -> Iterator[Row]:
    for parameter in operation.get("parameters", []):
        kind = f"{escape(parameter['in'])}, {_kind(parameter['schema'])}"
        yield parameter["name"], kind, parameter.get("description", "")


def _about(schema: Json) -> str:
    default = schema.get("default")
    shown = f"default: {default}" if default not in (None, False, [], "") else ""
    return "; ".join(filter(None, (schema.get("description", ""), shown)))


def _kind(schema: Json) -> str:
    """The kind of a value as HTML: objects link to their own table."""
    if "anyOf" in schema:
        kinds = [_kind(option) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return escape(" | ".join(map(str, schema["enum"])))
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(str(schema.get("type", "any value")))
