"""Words about a whole set: asked for as an object of texts, checked, and stood in for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core import citations, figures
from core.fill import strings
from core.keyed import entries, line_of
from core.merge import Rule
from core.schema import Schema, validator

STAND_IN_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Checked:
    """Texts that may be kept, and why they should be asked for again (empty: they are good)."""

    value: Any
    refused: int
    reason: str


def check(
    value: Any,
    schema: Schema,
    known: Collection[int],
    numbers: Collection[Decimal] | None,
    positions: Mapping[int, int] | None = None,
) -> Checked:
    """``value`` without false citations and, where ``numbers`` is given, without false numbers.

    None as value: it has not the form of ``schema``, or nothing of a text is left.
    """
    if not validator(schema).is_valid(value):
        return Checked(None, 0, "form")
    told = [citations.check(text, known) for text in texts_of(value)]
    refused = sum(each.refused for each in told)
    false = (
        [n for e in told for n in figures.unbacked(e.text, numbers)] if numbers is not None else []
    )

    def cleaned(text: str) -> str:
        kept = citations.check(text, known).text
        if numbers is not None:
            kept = figures.without_unbacked(kept, numbers)
        return kept if positions is None else citations.translate(kept, positions)

    kept = strings(value, cleaned)
    if not all(texts_of(kept)) or not validator(schema).is_valid(kept):
        return Checked(None, refused, "figure" if false else "form")
    return Checked(kept, refused, "citation" if refused else "figure" if false else "")


def texts_of(value: Any) -> list[str]:
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    strings(value, note)
    return found


def names_of(schema: Schema, path: str = "") -> list[str]:
    """``summary``, ``shop.remark``: where texts stand, with what is said of them."""
    found: list[str] = []
    for name, each in schema.get("properties", {}).items():
        here = f"{path}{name}"
        if "properties" in each:
            found += names_of(each, f"{here}.")
        else:
            said = each.get("description")
            found.append(f'"{here}" ({said})' if said else f'"{here}"')
    return found


def stand_in(rule: Rule, records: Sequence[tuple[int, Any]]) -> Any:
    """Where no reply brought usable words: what the images' own records say, with citations."""
    if rule.merge == "text":
        said = [f"[{position}] {line_of(value)}" for position, value in records if value]
        most = min(int(rule.schema.get("maxLength", STAND_IN_CHARACTERS)), STAND_IN_CHARACTERS)
        return _cut("; ".join(said), most)
    made = {}
    for name, each in (rule.properties or {}).items():
        if each.needs_words:
            below = [(n, value.get(name)) for n, value in records if isinstance(value, Mapping)]
            made[name] = stand_in(each, below)
    return made


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(most - 1, 0)].rsplit(";", 1)[0] + "…"


def read(text: str) -> dict[str, Any]:
    """The object in a reply."""
    return entries(text)
