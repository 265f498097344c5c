"""Rows as Parquet: typed columns, GROUP_ROWS rows to a group."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import IO, Any

from clients.parquet import pyarrow_modules
from overstory.export.rows import Export

GROUP_ROWS = 10_000


def write_parquet(export: Export, file: IO[bytes] | Path) -> None:
    """Write ``export`` to ``file``. Raises WrongUsage if pyarrow is not installed."""
    pa, parquet = pyarrow_modules()
    types = {
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "string": pa.string(),
    }
    schema = pa.schema([(column.name, types[column.kind]) for column in export.columns])
    rows = (export.cells(row) for row in export.rows())
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(rows, GROUP_ROWS)):
            columns = zip(*group, strict=True)
            arrays = [
                pa.array([_typed(cell, column.kind) for cell in cells], types[column.kind])
                for column, cells in zip(export.columns, columns, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _typed(cell: Any, kind: str) -> Any:
    """``cell`` as the type of its column, because a schema may allow several types for a value."""
    if cell is None:
        return None
    if kind == "integer":
        return int(cell)
    if kind == "number":
        return float(cell)
    return cell if kind == "boolean" else str(cell)
