"""The door to Parquet: only this module imports pyarrow, a large package that few need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.errors import WrongUsage


def pyarrow_modules() -> tuple[Any, Any]:
    """pyarrow and its Parquet module. Raises WrongUsage if it is not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise WrongUsage(
            "Parquet needs the package pyarrow: pip install 'overstory[parquet]'"
        ) from None
    return pyarrow, parquet


def rows_of(raw: bytes) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file. Raises WrongUsage without pyarrow, ValueError for other bytes."""
    pyarrow, parquet = pyarrow_modules()
    for batch in parquet.ParquetFile(pyarrow.BufferReader(raw)).iter_batches():
        yield from batch.to_pylist()
