"""Checks of values and schemas by jsonschema, with patterns in linear time and bounded work.

jsonschema matches patterns by ``re``, compares the items of a list with each other, and may visit a
value a billion times where a schema refers to parts of itself twice. Here the keywords that do so
are replaced, and every keyword counts its work. A value that needs more work than STEPS_MAX does
not fit. The count does not depend on the machine, so a replay gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from core.answers.patterns import compiled
from core.errors import WrongUsage
from core.text.sanitize import DEPTH_MAX, nested_deeper

Keyword = Callable[[Any, Any, Any, Any], Any]

STEPS_MAX = 200_000
"""Work for one value: about a step for each keyword at each place, some 10 microseconds."""
KEYWORDS_DEEP = 120
"""Keywords inside keywords, with values nested. Python's stack has room for twice as many."""
MATCHING = 2_000
"""Characters times the size of a pattern that count as one step."""
COPYING = 200
"""Characters of a message that count as one step: it quotes the value and the schema."""
FAULTS_MAX = 20
FAULT_CHARACTERS = 500


class TooMuchWork(Exception):
    """A value whose check needs more work than it may."""


@dataclass(slots=True)
class Steps:
    """The work that checks may still do; several values may share one."""

    left: int = STEPS_MAX
    deep: int = 0
    choices: dict[int, frozenset[object]] = field(default_factory=dict)
    """Values of the enums that were needed, by the id of their list."""

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise TooMuchWork


_STEPS: ContextVar[Steps] = ContextVar("steps")


class Fault(NamedTuple):
    """Where a value does not fit its schema, as a JSON path, and why."""

    path: str
    reason: str


class Validator:
    """Checks values against one schema. References must stay inside it; nothing is fetched."""

    def __init__(self, schema: Any) -> None:
        from referencing import Registry

        self._root = _classes()(schema, registry=Registry())

    def is_valid(self, value: Any, steps: Steps | None = None) -> bool:
        """Whether ``value`` fits and could be checked with the work allowed."""
        return not self.faults(value, steps, most=1)

    def faults(self, value: Any, steps: Steps | None = None, most: int = 1) -> list[Fault]:
        """The first ``most`` faults of ``value``."""
        from referencing.exceptions import Unresolvable

        if nested_deeper(value, DEPTH_MAX):
            return [Fault("$", f"it is nested deeper than {DEPTH_MAX} levels")]
        token = _STEPS.set(steps or Steps())
        try:
            errors = islice(self._root.iter_errors(value), most)
            return [Fault(error.json_path, error.message) for error in errors]
        except (TooMuchWork, RecursionError):
            return [Fault("$", "it is too large to be checked against the schema")]
        except WrongUsage as error:  # a pattern that an earlier version took
            return [Fault("$", f"it cannot be checked against the schema: {error}")]
        # a number out of a float's range in multipleOf; a reference out of a part of the schema
        except (ArithmeticError, ValueError, Unresolvable):
            return [Fault("$", "it cannot be checked against the schema")]
        finally:
            _STEPS.reset(token)


def sentences(faults: list[Fault]) -> list[str]:
    """FAULTS_MAX of the faults, a short sentence each."""
    lines = [f"{at.removeprefix('$.')}: {_short(why)}" for at, why in faults[:FAULTS_MAX]]
    return [*lines, "and more"] if len(faults) > FAULTS_MAX else lines


def _short(text: str) -> str:
    return text if len(text) <= FAULT_CHARACTERS else f"{text[:FAULT_CHARACTERS]}..."


@cache
def of_schemas() -> Validator:
    """A validator of schemas, draft 2020-12: its seven vocabularies joined into one schema. One
    after the other, as published, they take five times as long."""
    from jsonschema import Draft202012Validator
    from jsonschema_specifications import REGISTRY

    published = Draft202012Validator.META_SCHEMA
    base = published["$id"].removesuffix("schema")
    keywords: dict[str, Any] = {"definitions": {"additionalProperties": {"$ref": "#"}}}
    definitions: dict[str, Any] = {}
    for vocabulary in published["allOf"]:
        part = REGISTRY.contents(base + vocabulary["$ref"])
        keywords |= part["properties"]
        definitions |= part.get("$defs", {})
    joined = {"type": ["object", "boolean"], "properties": keywords, "$defs": definitions}
    return Validator(_referring(joined))


def _referring(schema: Any) -> Any:
    """``schema`` with plain references to itself instead of dynamic ones."""
    if isinstance(schema, list):
        return [_referring(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    if isinstance(schema.get("$dynamicRef"), str):  # the keyword, and not a property of that name
        return {"$ref": "#"}
    return {name: _referring(part) for name, part in schema.items()}


# --- keywords

_OWN: dict[str, Keyword] = {}
_ALONE = (
    *("const", "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "maximum", "maxItems"),
    *("maxLength", "maxProperties", "minimum", "minItems", "minLength", "minProperties"),
    *("multipleOf", "pattern", "type", "uniqueItems"),
)
"""Keywords that check no other schema, in a time that does not depend on their own length."""


@cache
def _classes() -> Any:
    """jsonschema's validator of draft 2020-12 with keywords that count their work."""
    from jsonschema import Draft202012Validator, validators

    keywords = {**Draft202012Validator.VALIDATORS, **_OWN}
    counted = {
        name: (_counted if name in _ALONE else _nested)(keyword)
        for name, keyword in keywords.items()
    }
    return validators.extend(Draft202012Validator, counted)


def _counted(keyword: Keyword) -> Keyword:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        steps = _STEPS.get()
        steps.spend(1)
        for error in keyword(validator, value, instance, schema) or ():
            steps.spend(len(error.message) // COPYING)
            yield error

    return check


def _nested(keyword: Keyword) -> Keyword:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        steps = _STEPS.get()
        steps.spend(1 + (_length(value) + _length(instance)) // 10)
        steps.deep += 1
        try:
            if steps.deep > KEYWORDS_DEEP:
                raise TooMuchWork
            for error in keyword(validator, value, instance, schema) or ():
                steps.spend(len(error.message) // COPYING)
                yield error
        finally:
            steps.deep -= 1

    return check


def _length(value: Any) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _own(name: str) -> Callable[[Keyword], Keyword]:
    def register(keyword: Keyword) -> Keyword:
        _OWN[name] = keyword
        return keyword

    return register


def _fault(message: str) -> Any:
    from jsonschema import ValidationError

    return ValidationError(message)


def _matches(pattern: str, text: str) -> bool:
    expression = compiled(pattern)
    _STEPS.get().spend(len(text) * expression.size // MATCHING)
    return expression.is_in(text)


@_own("pattern")
def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not _matches(pattern, instance):
        yield _fault(f"{instance!r} does not match {pattern!r}")


@_own("patternProperties")
def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any
) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for pattern, part in patterns.items():
        for name, value in instance.items():
            _STEPS.get().spend(1)
            if _matches(pattern, name):
                yield from validator.descend(value, part, path=name, schema_path=pattern)


@_own("additionalProperties")
def _additional(validator: Any, part: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extras = [
        name
        for name in instance
        if name not in known and not any(_matches(pattern, name) for pattern in patterns)
    ]
    if isinstance(part, dict):
        for name in extras:
            yield from validator.descend(instance[name], part, path=name)
    elif not part and extras:
        yield _fault(f"properties are not allowed: {', '.join(map(repr, extras))}")


@_own("enum")
def _enum(validator: Any, values: list[Any], instance: Any, schema: Any) -> Iterator[Any]:
    choices = _STEPS.get().choices
    if id(values) not in choices:
        choices[id(values)] = frozenset(map(_frozen, values))
    if _frozen(instance) not in choices[id(values)]:
        yield _fault(f"{instance!r} is not one of {values!r}")


@_own("uniqueItems")
def _unique_items(validator: Any, unique: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if unique and isinstance(instance, list):
        items = [_frozen(item) for item in instance]
        if len(set(items)) < len(items):
            yield _fault(f"{instance!r} has non-unique elements")


def _frozen(value: Any) -> object:
    """``value`` for a set. It is equal for equal JSON values: 1 and 1.0, but not 1 and true."""
    _STEPS.get().spend(_length(value) // 10)
    if isinstance(value, list):
        return ("list", *map(_frozen, value))
    if isinstance(value, dict):
        return frozenset((name, _frozen(inner)) for name, inner in value.items())
    return ("bool", value) if isinstance(value, bool) else value


@_own("unevaluatedProperties")
def _unevaluated_properties(validator: Any, part: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        evaluated = _evaluated(validator, instance, schema, is_outer=True)
        for name in instance:
            if name not in evaluated:
                yield from _left(validator, name, instance[name], part)


@_own("unevaluatedItems")
def _unevaluated_items(validator: Any, part: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, list):
        evaluated = _evaluated(validator, instance, schema, is_outer=True)
        for index, item in enumerate(instance):
            if index not in evaluated:
                yield from _left(validator, index, item, part)


def _left(validator: Any, place: str | int, value: Any, part: Any) -> Iterator[Any]:
    """The faults of a value that no other keyword has evaluated."""
    if part is False:
        yield _fault(f"{place!r} is not allowed: no part of the schema evaluates it")
    else:
        yield from validator.descend(value, part, path=place)


_ALL = {
    dict: ("additionalProperties", "unevaluatedProperties"),
    list: ("items", "unevaluatedItems"),
}
"""Keywords that evaluate whatever the others have left."""


def _evaluated(
    validator: Any, instance: Any, schema: Any, is_outer: bool = False
) -> set[str | int]:
    """Names or indices in ``instance`` that ``schema`` evaluates: those of its own keywords, and of
    the schemas that it applies to the same value and that the value fits."""
    _STEPS.get().spend(1 + _length(instance) // 10)
    if not isinstance(schema, dict):
        return set()
    rest, unevaluated = _ALL[dict if isinstance(instance, dict) else list]
    if rest in schema or (unevaluated in schema and not is_outer):
        return set(instance) if isinstance(instance, dict) else set(range(len(instance)))
    evaluated = _evaluated_here(validator, instance, schema)
    for part in _applied(validator, instance, schema):
        evaluated |= _evaluated(validator, instance, part)
    return evaluated


def _evaluated_here(validator: Any, instance: Any, schema: Any) -> set[str | int]:
    if isinstance(instance, dict):
        patterns = schema.get("patternProperties", {})
        return {
            name
            for name in instance
            if name in schema.get("properties", {}) or any(_matches(p, name) for p in patterns)
        }
    evaluated: set[str | int] = set(range(len(schema.get("prefixItems", ()))))
    if "contains" in schema:
        part = validator.evolve(schema=schema["contains"])
        evaluated |= {index for index, item in enumerate(instance) if part.is_valid(item)}
    return evaluated


def _applied(validator: Any, instance: Any, schema: Any) -> Iterator[Any]:
    """The schemas that ``schema`` applies to the same value and that the value fits."""

    def fits(part: Any) -> bool:
        return bool(validator.evolve(schema=part).is_valid(instance))

    if "$ref" in schema:
        yield validator._resolver.lookup(schema["$ref"]).contents  # noqa: SLF001 - no other way
    for keyword in ("allOf", "anyOf", "oneOf"):
        yield from (part for part in schema.get(keyword, ()) if fits(part))
    if isinstance(instance, dict):
        for name, part in schema.get("dependentSchemas", {}).items():
            if name in instance and fits(part):
                yield part
    if "if" in schema:
        holds = fits(schema["if"])
        yield from (schema["if"],) * holds
        branch = "then" if holds else "else"
        if branch in schema and fits(schema[branch]):
            yield schema[branch]
