"""Parquet files in a stream of tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from reclora_cli.data.reading.csv_dialect import shown
from reclora_cli.errors import MissingInputError, RecloraError, did_you_mean

_ROWS = 2**18
_BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)


def parquet_tables(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    """The named columns in their own types, part by part, with the number of the first record.

    Raises:
        MissingInputError: no such file.
        RecloraError: it is not Parquet, is damaged, lacks a column, or has no rows.
    """
    record = 1
    try:
        with _opened(path) as file:
            _require(columns, file.schema_arrow.names, path)
            for batch in file.iter_batches(_ROWS, columns=list(columns)):
                if len(batch):
                    batch.validate(full=True)  # text is UTF-8, lists end where they say
                    yield record, pa.Table.from_batches([batch]).select(list(columns))
                    record += len(batch)
    except _BROKEN as error:
        raise RecloraError(
            f"the Parquet file is damaged: {error}",
            where=str(path),
            hint="Fetch it again, or write it anew.",
        ) from None
    if record == 1:
        raise RecloraError("the file has no rows", where=str(path))


def parquet_schema(path: Path) -> pa.Schema:
    """The columns and their types.

    Raises:
        RecloraError: as ``parquet_tables``.
    """
    with _opened(path) as file:
        return file.schema_arrow


def _opened(path: Path) -> pyarrow.parquet.ParquetFile:
    if not path.is_file():
        raise MissingInputError("no such file", where=str(path), hint="Check the path.")
    try:
        return pyarrow.parquet.ParquetFile(path, memory_map=False)
    except _BROKEN as error:
        raise RecloraError(f"not a Parquet file: {error}", where=str(path)) from None


def _require(wanted: Sequence[str], found: Sequence[str], path: Path) -> None:
    for name in wanted:
        if list(found).count(name) != 1:
            several = name in found
            raise RecloraError(
                f"several columns are called {name!r}"
                if several
                else f"no column {name!r}; found: {shown(found)}",
                where=str(path),
                hint=None if several else did_you_mean(name, found)[:300],
            )
