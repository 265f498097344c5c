"""Reading columns into records: the columns that a dataclass needs, and a row as that dataclass."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Row

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")


def columns_of(record_type: type[DataclassInstance], *tables: type) -> list[Any]:
    """A column for each field of ``record_type``, from the first of ``tables`` that has it. A field
    that no table has is left to the caller."""
    columns = []
    for field in fields(record_type):
        columns += [vars(table)[field.name] for table in tables if field.name in vars(table)][:1]
    return columns


def record(record_type: type[R], row: Row[*tuple[Any, ...]], **values: Any) -> R:
    """``row`` as a ``record_type``. ``values`` replace or add fields; other columns are ignored."""
    known = record_type.__dataclass_fields__
    columns = {name: value for name, value in row._asdict().items() if name in known}
    columns.update(values)
    return record_type(**columns)
