"""JSON schemas of users: checked, resolved, and adapted for a request.

Read as draft 2020-12, which pydantic writes. References stay inside the schema; nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.errors import WrongUsage

if TYPE_CHECKING:  # 5 % of the start time of every process; only jobs with a schema need it
    from jsonschema import Draft202012Validator

Schema = dict[str, Any]

SCHEMA_CHARACTERS_MAX = 100_000
DEEPEST = 32
"""References followed in a row; more are taken for a cycle."""
ANSWER = "image_answer"
"""Name of the answer's schema among the $defs of a request."""
ROOT = "answer_root"
IMAGE = "x-image"
MERGE = "x-merge"
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = (
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
_ELSEWHERE = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor")


def check(schema: Schema) -> None:
    """Raises WrongUsage, which names what to change, if ``schema`` cannot describe an answer."""
    if len(json.dumps(schema)) > SCHEMA_CHARACTERS_MAX:
        raise WrongUsage(f"schema: more than {SCHEMA_CHARACTERS_MAX:,} characters")
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise WrongUsage(f"schema: {error.json_path}: {error.message}") from None
    if {ANSWER, ROOT}.intersection({**schema.get("$defs", {}), **schema.get("definitions", {})}):
        raise WrongUsage(f"schema: the names {ANSWER} and {ROOT} are reserved: choose another")
    for part in _parts(schema):
        _check_part(schema, part)
    if kind_of(resolved(schema, schema)[0]) != "object":
        raise WrongUsage("schema: the answer must be an object: set 'type': 'object' at the top")


def _check_part(root: Schema, part: Schema) -> None:
    for keyword in _ELSEWHERE:
        if keyword in part and not (keyword == "$id" and part is root):
            raise WrongUsage(f"schema: {keyword} is not supported: refer with '#/$defs/NAME'")
    if "$ref" in part:
        referred(root, part["$ref"])
    if part.get(IMAGE) and kind_of(resolved(root, part)[0]) != "integer":
        raise WrongUsage(f"schema: {IMAGE} needs a property of type integer")


def validator(schema: Schema) -> Draft202012Validator:
    """A validator of ``schema`` that fetches nothing."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    return Draft202012Validator(schema, registry=Registry())


def walked(schema: Any, change: Callable[[Schema], Schema]) -> Any:
    """``schema`` with ``change`` applied to it and then to every schema inside it."""
    if not isinstance(schema, dict):
        return schema  # true and false are schemas too
    changed: Schema = {}
    for key, value in change(schema).items():
        if key in _NAMED and isinstance(value, dict):
            changed[key] = {name: walked(part, change) for name, part in value.items()}
        elif key in _LISTED and isinstance(value, list):
            changed[key] = [walked(part, change) for part in value]
        else:
            changed[key] = walked(value, change) if key in _SINGLE else value
    return changed


def _parts(schema: Schema) -> list[Schema]:
    """``schema`` and every schema inside it, the outer ones first."""
    parts: list[Schema] = []

    def collect(part: Schema) -> Schema:
        parts.append(part)
        return part

    walked(schema, collect)
    return parts


def referred(root: Schema, reference: str) -> Schema:
    """The schema that ``reference`` (``#``, ``#/$defs/Item``) names. Raises WrongUsage if none."""
    target: Any = root if (reference + "/").startswith("#/") else None
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            target = target[int(name)]
        else:
            target = target.get(name) if isinstance(target, dict) else None
    if not isinstance(target, dict):
        raise WrongUsage(f"schema: {reference!r} refers to nothing inside the schema")
    return target


def resolved(root: Schema, schema: Schema) -> tuple[Schema, bool]:
    """The schema behind references and 'or null', and whether null is allowed.

    Keywords beside a reference (a description, a rule) override those it refers to. A choice of
    several non-null alternatives stays as it is.
    """
    nullable = False
    for _ in range(DEEPEST):
        inner, allows_null = _one_step(root, schema)
        nullable = nullable or allows_null
        if inner is None:
            break
        schema = inner
    else:
        raise WrongUsage(f"schema: the references form a cycle: {json.dumps(schema)[:200]}")
    kinds = schema.get("type")
    if isinstance(kinds, list):
        real = [kind for kind in kinds if kind != "null"]
        nullable = nullable or len(real) < len(kinds)
        schema = {**schema, "type": real[0] if len(real) == 1 else real}
    if None in schema.get("enum", ()):
        nullable = True
        schema = {**schema, "enum": [value for value in schema["enum"] if value is not None]}
    return schema, nullable


def _one_step(root: Schema, schema: Schema) -> tuple[Schema | None, bool]:
    """The schema that ``schema`` refers to, or None; and whether it allows null beside that."""
    if "$ref" in schema:
        return referred(root, schema["$ref"]) | without(schema, "$ref"), False
    for keyword in ("anyOf", "oneOf", "allOf"):
        parts = schema.get(keyword)
        if parts:
            real = [part for part in parts if not _is_null(part)]
            if len(real) != 1 or not isinstance(real[0], dict):
                return None, len(real) < len(parts)
            return real[0] | without(schema, keyword), len(real) < len(parts)
    return None, False


def kind_of(schema: Schema) -> str:
    """The type of a resolved schema; empty if it has several types or none."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return kind
    if kind is None and ("properties" in schema or "additionalProperties" in schema):
        return "object"
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if kind is None and values and all(isinstance(value, str) for value in values):
        return "string"
    return ""


def given_texts(schema: Schema) -> frozenset[str]:
    """The strings among the enum values and constants of a schema."""
    values = (v for part in _parts(schema) for v in (*part.get("enum", ()), part.get("const")))
    return frozenset(value for value in values if isinstance(value, str))


def travelling(root: Schema, schema: Schema) -> dict[str, Schema]:
    """``$defs`` for a request in which ANSWER is ``schema``, a part of ``root`` or derived from it.

    Without our ``x-`` keywords and the properties that code fills in; references are adapted.
    """
    return {
        **{name: _portable(definition) for name, definition in _definitions(root).items()},
        ANSWER: _portable(without(schema, "$defs", "definitions")),
    }


def _definitions(root: Schema) -> dict[str, Schema]:
    """The definitions of ``root``; also ``root`` itself if a reference leads outside of them."""
    definitions = {**root.get("definitions", {}), **root.get("$defs", {})}
    references = [part["$ref"] for part in _parts(root) if "$ref" in part]
    if not all(reference.startswith(("#/$defs/", "#/definitions/")) for reference in references):
        definitions[ROOT] = without(root, "$defs", "definitions")
    return definitions


def _portable(schema: Schema) -> Schema:
    portable: Schema = walked(schema, _ported)
    return portable


def _ported(part: Schema) -> Schema:
    kept = {key: value for key, value in part.items() if not _is_ours(key)}
    properties = kept.get("properties")
    if isinstance(properties, dict):
        filled = {name for name, part in properties.items() if is_image(part)}
        kept["properties"] = without(properties, *filled)
        if "required" in kept:
            kept["required"] = [name for name in kept["required"] if name not in filled]
    if "$ref" in kept:
        kept["$ref"] = _moved(kept["$ref"])
    return kept


def _moved(reference: str) -> str:
    if reference.startswith("#/definitions/"):
        return reference.replace("#/definitions/", "#/$defs/", 1)
    return reference if reference.startswith("#/$defs/") else f"#/$defs/{ROOT}{reference[1:]}"


def _is_ours(key: str) -> bool:
    return key.startswith("x-") or key in ("$schema", "$id")


def is_image(schema: Any) -> bool:
    """Whether code fills in this property with the image's position."""
    return isinstance(schema, dict) and bool(schema.get(IMAGE))


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "null"


def without(schema: Schema, *keywords: str) -> Schema:
    return {key: value for key, value in schema.items() if key not in keywords}


def fill_positions(root: Schema, schema: Any, value: Any, position: int) -> Any:
    """``value`` in the order of its schema, with ``position`` in each ``x-image`` property."""
    known = resolved(root, schema)[0] if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        return _fill_object(root, known, value, position)
    if isinstance(value, list):
        return [fill_positions(root, known.get("items"), item, position) for item in value]
    return value


def _fill_object(
    root: Schema, schema: Schema, value: dict[str, Any], position: int
) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for name, part in schema.get("properties", {}).items():
        if is_image(part):
            filled[name] = position
        elif name in value:
            filled[name] = fill_positions(root, part, value[name], position)
    for name, entry in value.items():
        if name not in filled:
            filled[name] = fill_positions(root, schema.get("additionalProperties"), entry, position)
    return filled


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """``value`` with ``change`` applied to every string in it, but not to keys."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [map_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {name: map_strings(item, change) for name, item in value.items()}
    return value
