"""The door to Parquet: only this module imports pyarrow, a large package that few need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from core.errors import WrongUsage

BATCH_ROWS = 250
BUFFER_BYTES = 1 << 16


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


class ParquetRows:
    """The rows of an open Parquet file as lists of Python values, a batch at a time. Columns with
    bytes in them, as pictures are stored in, are not read: they are not in ``columns``."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises WrongUsage without pyarrow, and for a file that is not Parquet."""
        self._pyarrow, parquet = pyarrow_modules()
        # its own allocator keeps 23 MiB for the 5 MiB of pages that are decoded at a time
        self._pyarrow.set_memory_pool(self._pyarrow.system_memory_pool())
        try:
            self._file = parquet.ParquetFile(file, buffer_size=BUFFER_BYTES)
            fields = list(self._file.schema_arrow)
        except (self._pyarrow.ArrowException, OSError, ValueError):
            raise WrongUsage("it is not a Parquet file") from None
        self.columns = [field.name for field in fields if not self._has_bytes(field.type)]

    def __iter__(self) -> Iterator[list[Any]]:
        try:
            for batch in self._file.iter_batches(
                BATCH_ROWS, columns=self.columns, use_threads=False
            ):
                values = [self._values(column) for column in batch.columns]
                yield from map(list, zip(*values, strict=True))
        except (self._pyarrow.ArrowException, OSError):
            raise WrongUsage("a part of the Parquet file cannot be read") from None

    def _has_bytes(self, kind: Any) -> bool:
        types = self._pyarrow.types
        if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
            return True
        if types.is_fixed_size_binary(kind):
            return True
        inner = [kind.field(n).type for n in range(kind.num_fields)]
        return any(map(self._has_bytes, inner))

    def _values(self, column: Any) -> list[Any]:
        """Times of any unit as Python has them; one value that it cannot hold is lost alone."""
        if self._pyarrow.types.is_timestamp(column.type):
            zone = "UTC" if column.type.tz else None
            column = column.cast(self._pyarrow.timestamp("us", zone), safe=False)
        try:
            values: list[Any] = column.to_pylist()
        except (ValueError, OverflowError):
            return [_value(value) for value in column]
        return values


def _value(value: Any) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError):
        return None
