"""The documentation page of the HTTP API, drawn from its OpenAPI description."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from typing import Any

from markdown_it import MarkdownIt

JSON, BYTES = "application/json", "application/octet-stream"
MARKDOWN = MarkdownIt("js-default", {"html": False})
STYLE = """
main { max-width: 54rem; margin: 2rem auto; padding: 0 1rem }
article { border-top: 1px solid var(--line); padding: 1rem 0 }
h2 code { font-size: 1rem }
h3 { font-size: 1rem; margin: 1rem 0 .2rem }
table { border-collapse: collapse }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
.kind { color: var(--soft) }
"""


def reference_page(openapi: dict[str, Any]) -> str:
    """One HTML page without scripts, in the look of the report."""
    style = resources.files("overstory.report").joinpath("report.css").read_text("utf-8")
    info = openapi["info"]
    operations = "".join(
        _operation(openapi, method.upper(), path, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{style}{STYLE}</style><main>"
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1>"
        f"<p>{escape(info['description'])}</p>"
        '<p>For programs: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>'
        f"{operations}</main></html>"
    )


def _operation(openapi: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    fields = list(_fields(openapi, operation))
    table = _table([*_parameters(operation), *fields])
    for media, content in _contents(operation).items():
        if media != JSON:
            others = [row for row in _rows(content["schema"]) if row not in fields]
            title = f"or as <code>{escape(media)}</code>: fields that differ"
            table += f"<h3>{title if others else f'body: <code>{escape(media)}</code>'}</h3>"
            table += _table(others)
    text = MARKDOWN.render(operation.get("description", ""))
    return f"<article><h2><code>{method} {escape(path)}</code></h2>{text}{table}</article>"


def _table(lines: Sequence[tuple[str, str, str]]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code><td class=kind>{escape(kind)}<td>{escape(about)}"
        for name, kind, about in lines
    )
    return f"<table><tr><th>field<th>kind<th>{rows}</table>" if rows else ""


def _contents(operation: dict[str, Any]) -> dict[str, Any]:
    """The bodies that an operation takes, by media type."""
    contents: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    return contents


def _parameters(operation: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for parameter in operation.get("parameters", []):
        where = parameter["in"]
        yield parameter["name"], f"{where}, {_kind(parameter['schema'])}", ""


def _fields(openapi: dict[str, Any], operation: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    schema = _contents(operation).get(JSON, {}).get("schema", {})
    for option in [schema, *schema.get("anyOf", [])]:
        if "$ref" in option:
            yield from _rows(openapi["components"]["schemas"][option["$ref"].rpartition("/")[2]])


def _rows(model: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, field in model.get("properties", {}).items():
        needed = " (required)" if name in model.get("required", []) else ""
        yield name, _kind(field) + needed, field.get("description", "")


def _kind(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        kinds = [_kind(option) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if schema.get("contentMediaType") == BYTES:
        return "file"
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("type", "any"))
