"""JSON schemas of users: checked, resolved, and adapted for a request.

Read as draft 2020-12, which pydantic writes. References stay inside the schema; nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from core.answers.patterns import compiled
from core.answers.schema_budget import Visits
from core.answers.validation import Steps, Validator, of_schemas
from core.errors import WrongUsage
from core.text.sanitize import DEPTH_MAX, nested_deeper

Schema = dict[str, Any]

SCHEMA_CHARACTERS_MAX = 100_000
PLACES_MAX = 2_000
"""Schemas inside a schema, itself included."""
PROPERTIES_MAX = 1_000
"""Of one object."""
CHOICES_MAX = 5_000
"""Values of one enum."""
PATTERNS_SIZE_MAX = 100_000
"""Of all patterns together, as compiled programs; each counts PATTERN_SIZE_MIN at least."""
PATTERN_SIZE_MIN = 50
AT_ONCE_MAX = 1_000
"""Schemas that apply to one and the same value."""
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


def check(schema: Schema, visits: Visits | None = None) -> None:
    """Raises WrongUsage, which names what to change, if ``schema`` cannot describe an answer."""
    visits = visits or Visits()
    _check_text(schema)
    parts = list(_placed(schema, visits))
    for path, part in parts:
        _check_size(path, part)
    faults = of_schemas().faults(schema, Steps(left=10 * SCHEMA_CHARACTERS_MAX))
    for fault in faults:
        raise WrongUsage(f"schema: {fault.path}: {fault.reason[:500]}")
    if {ANSWER, ROOT}.intersection({**schema.get("$defs", {}), **schema.get("definitions", {})}):
        raise WrongUsage(f"schema: the names {ANSWER} and {ROOT} are reserved: choose another")
    known = {id(part) for _, part in parts}
    for path, part in parts:
        _check_part(schema, path, part, known)
    _check_patterns(parts)
    _check_at_once(schema, parts)
    for _, part in parts:
        if part.get(IMAGE) and kind_of(resolved(schema, part, visits)[0]) != "integer":
            raise WrongUsage(f"schema: {IMAGE} needs a property of type integer")
    if kind_of(resolved(schema, schema, visits)[0]) != "object":
        raise WrongUsage("schema: the answer must be an object: set 'type': 'object' at the top")


def _check_text(schema: Schema) -> None:
    if nested_deeper(schema, DEPTH_MAX):
        raise WrongUsage(
            f"schema: nested deeper than {DEPTH_MAX} levels: define parts under '$defs' and refer"
            " to them"
        )
    try:
        text = json.dumps(schema, allow_nan=False)
    except ValueError:
        raise WrongUsage("schema: NaN and Infinity are not valid JSON: leave them out") from None
    if len(text) > SCHEMA_CHARACTERS_MAX:
        raise WrongUsage(f"schema: more than {SCHEMA_CHARACTERS_MAX:,} characters")


def _check_size(path: str, part: Schema) -> None:
    for keyword, most, things in (
        ("properties", PROPERTIES_MAX, "properties"),
        ("enum", CHOICES_MAX, "values"),
    ):
        value = part.get(keyword)
        if isinstance(value, dict | list) and len(value) > most:
            raise WrongUsage(f"schema: {path}.{keyword} has more than {most:,} {things}")


def _check_part(root: Schema, path: str, part: Schema, known: set[int]) -> None:
    for keyword in _ELSEWHERE:
        if keyword in part and not (keyword == "$id" and part is root):
            raise WrongUsage(f"schema: {keyword} is not supported: refer with '#/$defs/NAME'")
    if "$schema" in part and part is not root:
        raise WrongUsage(f"schema: {path}: $schema is only supported at the top")
    if "$ref" in part and id(referred(root, part["$ref"])) not in known:
        raise WrongUsage(
            f"schema: {path}: {part['$ref']!r} does not refer to a schema: refer with"
            " '#/$defs/NAME'"
        )


def _check_patterns(parts: list[tuple[str, Schema]]) -> None:
    """Every pattern compiles, and all of them together do not take long to match."""
    size = 0
    known: set[str] = set()
    for path, part in parts:
        own = [("pattern", part["pattern"])] if "pattern" in part else []
        names = [("patternProperties", text) for text in part.get("patternProperties", ())]
        for keyword, text in [*own, *names]:
            place = f"{path}.{keyword}"
            if text in known:
                continue
            known.add(text)
            try:
                size += max(compiled(text).size, PATTERN_SIZE_MIN)
            except WrongUsage as error:
                raise WrongUsage(f"schema: {place}: {error}") from None
            if size > PATTERNS_SIZE_MAX:
                raise WrongUsage(
                    f"schema: {place}: the patterns are too large together: use minLength and"
                    " maxLength for lengths"
                )


def _check_at_once(root: Schema, parts: list[tuple[str, Schema]]) -> None:
    """Few schemas apply to one value, with references followed: each is checked for every value."""
    measured: dict[int, int | None] = {}  # None while it is measured: what leads to it is a cycle

    def measure(part: Any, row: int) -> int:
        if not isinstance(part, dict):
            return 1
        if id(part) not in measured and row <= DEEPEST * 2:
            measured[id(part)] = None
            inner = sum(measure(other, row + 1) for other in _applied_with(root, part))
            measured[id(part)] = 1 + inner
        count = measured.get(id(part))
        if count is None:
            raise _cycle(part)
        return count

    for path, part in parts:
        if measure(part, 0) > AT_ONCE_MAX:
            raise WrongUsage(
                f"schema: {path}: more than {AT_ONCE_MAX:,} schemas apply to one value there, with"
                " references followed: ask for less"
            )


def _applied_with(root: Schema, part: Schema) -> Iterator[Any]:
    """The schemas that apply to the same value as ``part``."""
    if "$ref" in part:
        yield referred(root, part["$ref"])
    for keyword in ("anyOf", "oneOf", "allOf"):
        yield from part.get(keyword, ())
    for keyword in ("not", "if", "then", "else"):
        if keyword in part:
            yield part[keyword]
    yield from part.get("dependentSchemas", {}).values()


def _cycle(schema: Schema) -> WrongUsage:
    return WrongUsage(f"schema: the references form a cycle: {json.dumps(schema)[:200]}")


def validator(schema: Schema) -> Validator:
    """A validator of ``schema`` that fetches nothing."""
    return Validator(walked(schema, _without_dialect))


def _without_dialect(schema: Schema) -> Schema:
    """jsonschema would leave our keywords for those of the dialect that a part names."""
    return without(schema, "$schema", "$id")


def walked(schema: Any, change: Callable[[Schema], Schema], visits: Visits | None = None) -> Any:
    """``schema`` with ``change`` applied to it and then to every schema inside it."""
    if not isinstance(schema, dict):
        return schema  # true and false are schemas too
    if visits is not None:
        visits.place(schema)
    changed: Schema = {}
    for key, value in change(schema).items():
        if key in _NAMED and isinstance(value, dict):
            changed[key] = {name: walked(part, change, visits) for name, part in value.items()}
        elif key in _LISTED and isinstance(value, list):
            changed[key] = [walked(part, change, visits) for part in value]
        else:
            changed[key] = walked(value, change, visits) if key in _SINGLE else value
    return changed


def _placed(schema: Schema, visits: Visits) -> Iterator[tuple[str, Schema]]:
    """``schema`` and every schema inside it with its JSON path, the outer ones first."""
    places: list[tuple[str, Any]] = [("$", schema)]
    count = 0
    for path, part in places:
        if not isinstance(part, dict):
            continue
        count += 1
        if count > PLACES_MAX:
            raise WrongUsage(f"schema: more than {PLACES_MAX:,} places: ask for less")
        visits.place(part)
        yield path, part
        for key, value in part.items():
            if key in _NAMED and isinstance(value, dict):
                places += [(f"{path}.{key}.{name}", inner) for name, inner in value.items()]
            elif key in _LISTED and isinstance(value, list):
                places += [(f"{path}.{key}[{at}]", inner) for at, inner in enumerate(value)]
            elif key in _SINGLE:
                places.append((f"{path}.{key}", value))


def _parts(schema: Schema, visits: Visits) -> list[Schema]:
    """``schema`` and every schema inside it, the outer ones first."""
    return [part for _, part in _placed(schema, visits)]


def referred(root: Schema, reference: str) -> Schema:
    """The schema that ``reference`` (``#``, ``#/$defs/Item``) names. Raises WrongUsage if none."""
    target: Any = root if (reference + "/").startswith("#/") else None
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            target = target[int(name)]
        else:
            target = target.get(name) if isinstance(target, dict) else None
        if target is None:
            break
    if not isinstance(target, dict):
        raise WrongUsage(f"schema: {reference[:200]!r} refers to nothing inside the schema")
    return target


def resolved(root: Schema, schema: Schema, visits: Visits | None = None) -> tuple[Schema, bool]:
    """The schema behind references and 'or null', and whether null is allowed.

    Keywords beside a reference (a description, a rule) override those it refers to. A choice of
    several non-null alternatives stays as it is.
    """
    nullable = False
    for _ in range(DEEPEST):
        if visits is not None:
            visits.place(schema)
        inner, allows_null = _one_step(root, schema)
        nullable = nullable or allows_null
        if inner is None:
            break
        schema = inner
    else:
        raise _cycle(schema)
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


def given_texts(schema: Schema, visits: Visits) -> frozenset[str]:
    """The strings among the enum values and constants of a schema."""
    values = (
        v for part in _parts(schema, visits) for v in (*part.get("enum", ()), part.get("const"))
    )
    return frozenset(value for value in values if isinstance(value, str))


def travelling(root: Schema, schema: Schema, visits: Visits) -> dict[str, Schema]:
    """``$defs`` for a request in which ANSWER is ``schema``, a part of ``root`` or derived from it.

    Without our ``x-`` keywords and the properties that code fills in; references are adapted.
    """
    definitions = _definitions(root, visits)
    return {
        **{name: _portable(definition, visits) for name, definition in definitions.items()},
        ANSWER: _portable(without(schema, "$defs", "definitions"), visits),
    }


def _definitions(root: Schema, visits: Visits) -> dict[str, Schema]:
    """The definitions of ``root``; also ``root`` itself if a reference leads outside of them."""
    definitions = {**root.get("definitions", {}), **root.get("$defs", {})}
    references = [part["$ref"] for part in _parts(root, visits) if "$ref" in part]
    if not all(reference.startswith(("#/$defs/", "#/definitions/")) for reference in references):
        definitions[ROOT] = without(root, "$defs", "definitions")
    return definitions


def _portable(schema: Schema, visits: Visits) -> Schema:
    portable: Schema = walked(schema, _ported, visits)
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


def fill_positions(
    root: Schema, schema: Any, value: Any, position: int, steps: Steps | None = None
) -> Any:
    """``value`` in the order of its schema, with ``position`` in each ``x-image`` property.

    With ``steps`` it counts its work. Raises TooMuchWork when they are used up.
    """
    known = resolved(root, schema)[0] if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        return _fill_object(root, known, value, position, steps)
    if isinstance(value, list):
        items = known.get("items")
        return [fill_positions(root, items, item, position, steps) for item in value]
    return value


def _fill_object(
    root: Schema, schema: Schema, value: dict[str, Any], position: int, steps: Steps | None
) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    properties, free = schema.get("properties", {}), schema.get("additionalProperties")
    if steps is not None:
        steps.spend(1 + len(properties) // 10)
    for name, part in properties.items():
        if is_image(part):
            filled[name] = position
        elif name in value:
            filled[name] = fill_positions(root, part, value[name], position, steps)
    for name, entry in value.items():
        if name not in filled:
            filled[name] = fill_positions(root, free, entry, position, steps)
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
