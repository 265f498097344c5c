"""JSON schemas as people give them: checked, resolved, and made fit to travel in a request.

They are read as draft 2020-12, what pydantic writes. References stay inside the schema: nothing is
ever fetched.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.errors import WrongUsage

if TYPE_CHECKING:  # a twentieth of every process's start, for jobs with a schema alone
    from jsonschema import Draft202012Validator

Schema = dict[str, Any]

SCHEMA_CHARACTERS_MAX = 100_000
DEEPEST = 32
"""References followed in a row; more are a circle."""
ANSWER = "image_answer"
"""What a travelling schema is called among its $defs."""
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
    """Raises WrongUsage, naming what to change, where ``schema`` cannot shape an answer."""
    if len(json.dumps(schema)) > SCHEMA_CHARACTERS_MAX:
        raise WrongUsage(f"schema: more than {SCHEMA_CHARACTERS_MAX:,} characters")
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise WrongUsage(f"schema: {error.json_path}: {error.message}") from None
    if {ANSWER, ROOT}.intersection({**schema.get("$defs", {}), **schema.get("definitions", {})}):
        raise WrongUsage(f"schema: {ANSWER} and {ROOT} are names of ours: call it otherwise")
    walked(schema, lambda part: _check_part(schema, part))
    if kind_of(resolved(schema, schema)[0]) != "object":
        raise WrongUsage("schema: the answer must be an object: say 'type': 'object' at its top")


def _check_part(root: Schema, part: Schema) -> Schema:
    for word in _ELSEWHERE:
        if word in part and not (word == "$id" and part is root):
            raise WrongUsage(f"schema: {word} is not supported: refer with '#/$defs/NAME'")
    if "$ref" in part:
        referred(root, part["$ref"])
    if part.get(IMAGE) and kind_of(resolved(root, part)[0]) != "integer":
        raise WrongUsage(f"schema: {IMAGE} belongs to a property of type integer")
    return part


def validator(schema: Schema) -> Draft202012Validator:
    """A validator that fetches nothing."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    return Draft202012Validator(schema, registry=Registry())


def walked(schema: Any, change: Callable[[Schema], Schema]) -> Any:
    """``schema`` with ``change`` applied to it and to every schema inside, the outer first."""
    if not isinstance(schema, dict):
        return schema  # true and false are schemas, too
    made: Schema = {}
    for key, value in change(schema).items():
        if key in _NAMED and isinstance(value, dict):
            made[key] = {name: walked(each, change) for name, each in value.items()}
        elif key in _LISTED and isinstance(value, list):
            made[key] = [walked(each, change) for each in value]
        else:
            made[key] = walked(value, change) if key in _SINGLE else value
    return made


def referred(root: Schema, reference: str) -> Schema:
    """What ``reference`` (``#``, ``#/$defs/Item``) names. Raises WrongUsage where nothing does."""
    place: Any = root
    found = reference.startswith("#")
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(place, list) and name.isdecimal() and int(name) < len(place):
            place = place[int(name)]
        elif isinstance(place, dict) and name in place:
            place = place[name]
        else:
            found = False
            break
    if not found or not isinstance(place, dict) or not (reference + "/").startswith("#/"):
        raise WrongUsage(f"schema: {reference!r} refers to nothing inside the schema")
    return place


def resolved(root: Schema, schema: Schema) -> tuple[Schema, bool]:
    """The schema behind references and 'or null', and whether null is allowed.

    What stands beside a reference (a description, a rule) wins. Several real alternatives stay.
    """
    nullable = False
    for _ in range(DEEPEST):
        inner, allows_null = _one_step(root, schema)
        nullable = nullable or allows_null
        if inner is None:
            break
        schema = inner
    else:
        raise WrongUsage(f"schema: a circle of references: {json.dumps(schema)[:200]}")
    kinds = schema.get("type")
    if isinstance(kinds, list):
        real = [kind for kind in kinds if kind != "null"]
        nullable = nullable or len(real) < len(kinds)
        schema = {**schema, "type": real[0] if len(real) == 1 else real}
    if None in schema.get("enum", ()):
        nullable = True
        schema = {**schema, "enum": [each for each in schema["enum"] if each is not None]}
    return schema, nullable


def _one_step(root: Schema, schema: Schema) -> tuple[Schema | None, bool]:
    """What ``schema`` stands for; None where it stands for itself."""
    if "$ref" in schema:
        return referred(root, schema["$ref"]) | _without(schema, "$ref"), False
    for word in ("anyOf", "oneOf", "allOf"):
        parts = schema.get(word)
        if parts:
            real = [part for part in parts if not _is_null(part)]
            if len(real) != 1 or not isinstance(real[0], dict):
                return None, len(real) < len(parts)
            return real[0] | _without(schema, word), len(real) < len(parts)
    return None, False


def kind_of(schema: Schema) -> str:
    """The one type of a resolved schema; empty where it has several or says none."""
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
    """The texts that a schema has as values: its enums and constants."""
    found: list[Any] = []

    def note(part: Schema) -> Schema:
        found.extend([*part.get("enum", ()), part.get("const")])
        return part

    walked(schema, note)
    return frozenset(each for each in found if isinstance(each, str))


def travelling(root: Schema, schema: Schema) -> dict[str, Schema]:
    """``$defs`` for a request in which ANSWER is ``schema``, a part or relative of ``root``.

    Our own words are gone, and so are the properties that code fills in; references follow.
    """
    return {
        **{name: _portable(each) for name, each in _definitions(root).items()},
        ANSWER: _portable(_without(schema, "$defs", "definitions")),
    }


def _definitions(root: Schema) -> dict[str, Schema]:
    """The definitions of ``root``, and itself where something refers to another place in it."""
    given = {**root.get("definitions", {}), **root.get("$defs", {})}
    elsewhere: list[str] = []

    def note(part: Schema) -> Schema:
        reference = part.get("$ref", "#/$defs/")
        if not reference.startswith(("#/$defs/", "#/definitions/")):
            elsewhere.append(reference)
        return part

    walked(root, note)
    if elsewhere:
        given[ROOT] = _without(root, "$defs", "definitions")
    return given


def _portable(schema: Schema) -> Schema:
    made: Schema = walked(schema, _ported)
    return made


def _ported(part: Schema) -> Schema:
    kept = {key: value for key, value in part.items() if not _is_ours(key)}
    if isinstance(kept.get("properties"), dict):
        filled = {name for name, each in kept["properties"].items() if is_image(each)}
        kept["properties"] = {n: each for n, each in kept["properties"].items() if n not in filled}
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
    """Whether code fills this property with the image's position."""
    return isinstance(schema, dict) and bool(schema.get(IMAGE))


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "null"


def _without(schema: Schema, *words: str) -> Schema:
    return {key: value for key, value in schema.items() if key not in words}


def fill_positions(root: Schema, schema: Any, value: Any, position: int) -> Any:
    """``value`` in the order of its schema, each ``x-image`` property being ``position``."""
    found = resolved(root, schema)[0] if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        return _fill_object(root, found, value, position)
    if isinstance(value, list):
        return [fill_positions(root, found.get("items"), item, position) for item in value]
    return value


def _fill_object(
    root: Schema, schema: Schema, value: dict[str, Any], position: int
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, each in schema.get("properties", {}).items():
        if is_image(each):
            made[name] = position
        elif name in value:
            made[name] = fill_positions(root, each, value[name], position)
    for name, given in value.items():
        if name not in made:
            made[name] = fill_positions(root, schema.get("additionalProperties"), given, position)
    return made


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """``value`` with ``change`` applied to every string in it; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [map_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {name: map_strings(each, change) for name, each in value.items()}
    return value
