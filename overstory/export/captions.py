"""What an image's row says of the picture: its caption, its title and its keywords."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.answers.json_schema import kind_of
from core.answers.totals import fields, value_at
from core.errors import WrongUsage
from models.reads.pipeline import JobRow
from overstory.export.rows import Row
from overstory.output.answers import Shape, shape_of_job

NOTE = "note"
ANSWER = "answer"
UNIT = "unit"
USUAL_CAPTIONS = ("caption", "description")
TITLE = (ANSWER, "title")
SHOWN = 12
_BETWEEN = re.compile(r"[,;\n]")
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Caption:
    """What is said of a picture; empty where nothing is."""

    text: str = ""
    title: str = ""
    keywords: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text or self.title or self.keywords)


class Captions:
    """Finds the caption of each row: the text in ``caption`` and the values of ``keywords``, which
    are names of fields. Without names: the answer about the image, or of an object the field that
    reads like a caption; else the line about the image. ``plain``: no title, and no keywords but
    those that are named.

    Raises WrongUsage for a field that the job does not have.
    """

    def __init__(
        self, job: JobRow, caption: str | None, keywords: Sequence[str], plain: bool
    ) -> None:
        shape = shape_of_job(job)
        self._shape = None if shape is None or shape.folds else shape
        self._fields = _fields(self._shape)
        self._by_units = job.options.by is not None
        self._caption = self._usual() if caption is None else self._named(caption, "--caption")
        self._or_note = caption is None
        has_title = TITLE in self._texts() and self._caption != TITLE and not plain
        self._title = TITLE if has_title else None
        named = [self._named(name, "--keywords") for name in keywords]
        self._keywords = named if named or plain else [(UNIT,), *self._usual_keywords()]

    def of(self, row: Row, unit: str | None) -> Caption:
        """What ``row`` says. ``unit``: the name of the image's unit."""
        values = row | {UNIT: unit}
        words = (word for path in self._keywords for word in _words(path, _value(values, path)))
        text = _text(_value(values, self._caption))
        return Caption(
            text=text or (_text(row[NOTE]) if self._or_note else ""),
            title="" if self._title is None else _text(_value(values, self._title)),
            keywords=tuple(dict.fromkeys(words)),
        )

    def _texts(self) -> list[Path]:
        """The fields of the answer that hold text of the model's own."""
        return [
            (ANSWER, *path)
            for path, schema in self._fields.items()
            if kind_of(schema) == "string" and "enum" not in schema
        ]

    def _usual(self) -> Path:
        if self._shape is None:
            return (NOTE,)
        if self._shape.schema is None:
            return (ANSWER,)
        texts = self._texts()
        usual = [path for path in texts if path[-1].lower() in USUAL_CAPTIONS]
        others = [path for path in texts if path != TITLE]
        first = next(iter([*usual, *others, *texts]), None)
        return first or (NOTE,)

    def _usual_keywords(self) -> list[Path]:
        lists = (
            (ANSWER, *path)
            for path, schema in self._fields.items()
            if kind_of(schema) == "array" and kind_of(schema.get("items") or {}) == "string"
        )
        return list(lists)[:1]

    def _named(self, name: str, option: str) -> Path:
        path = tuple(name.split("."))
        if path in self._fields:
            return (ANSWER, *path)
        if path in self._others() or (path[0] == ANSWER and path[1:] in self._fields):
            return path
        names = [".".join(path) for path in [*self._fields, *self._others()] if path]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise WrongUsage(
            f"{option} {name!r}: the job has no such field, but {', '.join(names[:SHOWN])}{more}"
        )

    def _others(self) -> list[Path]:
        others = {NOTE: True, UNIT: self._by_units, ANSWER: self._shape is not None}
        return [(name,) for name, has in others.items() if has]


def _fields(shape: Shape | None) -> Mapping[Path, dict[str, Any]]:
    return {} if shape is None or shape.schema is None else fields(shape.schema)


def _value(values: Row, path: Path) -> Any:
    return value_at(values, path)


def _text(value: Any) -> str:
    """A value as a person would write it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return ", ".join(map(_text, value))
    return json.dumps(value, ensure_ascii=False)


def _words(path: Path, value: Any) -> Iterable[str]:
    """The keywords of a value: the parts of a list or a text; of a yes, the name of its field."""
    if isinstance(value, bool):
        return [path[-1]] if value else []
    if isinstance(value, str) and path != (UNIT,):
        value = _BETWEEN.split(value)
    parts = value if isinstance(value, list) else [value]
    return [word for part in parts if (word := " ".join(_text(part).split()))]
