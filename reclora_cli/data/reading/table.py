"""Rows of a file of any kind that is read here, in a stream: CSV, JSON lines or Parquet."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reclora_cli.data.reading.blocks import read_blocks
from reclora_cli.data.reading.csv_dialect import Dialect, shown
from reclora_cli.data.reading.csv_table import csv_tables, line_of
from reclora_cli.data.reading.json_lines import numbered_lines, read_json_lines, text_blocks
from reclora_cli.data.reading.parquet_table import parquet_tables
from reclora_cli.errors import RecloraError, did_you_mean

Kind = Literal["csv", "jsonl", "parquet"]

_PARQUET = b"PAR1"
_SAMPLED = 1000
"""JSON objects looked at to learn which fields there are, and of which type."""


@dataclass(frozen=True)
class TableFile:
    """A file to be read as a table.

    Attributes:
        path: where it lies.
        kind: what it is; see ``kind_of``.
        dialect: how a CSV file writes its values.
    """

    path: Path
    kind: Kind
    dialect: Dialect = field(default_factory=Dialect)


@dataclass(frozen=True)
class Rows:
    """Some consecutive rows.

    Attributes:
        columns: name -> (n,) values, as the file has them: text in CSV.
        lines: (n,) int64, each one's line, or record, from 1.
    """

    columns: Mapping[str, pa.Array]
    lines: NDArray[np.int64]
    file: TableFile

    def where(self, at: int) -> str:
        """Place of row ``at``, for errors; looked up in CSV, where values may hold line breaks."""
        line = int(self.lines[at])
        if self.file.kind == "csv":
            dialect = self.file.dialect
            line = line_of(self.file.path, line - (dialect.header is None), dialect)
        return f"{self.file.path}:{line}"

    def chosen(self, mask: NDArray[np.bool_]) -> Rows:
        """The rows where ``mask`` is true."""
        if mask.all():
            return self
        keep = pa.array(mask)
        columns = {name: column.filter(keep) for name, column in self.columns.items()}
        return Rows(columns, self.lines[mask], self.file)

    def __len__(self) -> int:
        return len(self.lines)


def kind_of(path: Path) -> Kind:
    """What a file is, by how it begins (inside, where it is gzip).

    Raises:
        MissingInputError: no such file.
        RecloraError: it is empty, or something else.
    """
    if path.is_file():
        with path.open("rb") as file:
            if file.read(4) == _PARQUET:
                return "parquet"
    start = next(read_blocks(path)).data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    is_json = ".json" in path.name.lower()
    return "jsonl" if start == b"{" or (start == b"[" and is_json) else "csv"


def read_rows(
    file: TableFile, columns: Collection[str], numbers: Collection[str] = ()
) -> Iterator[Rows]:
    """The named columns of all rows.

    Args:
        numbers: columns that hold numbers, whole or not: JSON writes both 4 and 4.5.

    Raises:
        MissingInputError: no such file.
        RecloraError: a column is missing, or a line does not fit.
    """
    wanted = list(dict.fromkeys(columns))
    if file.kind == "jsonl":
        schema = json_schema(file.path, wanted, numbers)
        for rows in read_json_lines(file.path, schema):
            yield Rows(_columns(rows.table), rows.lines, file)
        return
    tables = (
        parquet_tables(file.path, wanted)
        if file.kind == "parquet"
        else csv_tables(file.path, dict.fromkeys(wanted, pa.string()), file.dialect)
    )
    for first, table in tables:
        yield Rows(_columns(table), np.arange(first, first + len(table)), file)


def json_schema(path: Path, wanted: Sequence[str], numbers: Collection[str]) -> pa.Schema:
    """The types of fields, as the first thousand objects have them.

    Raises:
        RecloraError: none of them has one of the fields, or a field holds more than one type.
    """
    sample = sample_objects(path)
    kinds: dict[str, set[str]] = {}
    for name, value in itertools.chain.from_iterable(found.items() for found in sample):
        kinds.setdefault(name, set()).add(_kind(value))
    return pa.schema([_field(name, kinds, numbers, path) for name in wanted])


def sample_objects(path: Path, most: int = _SAMPLED) -> list[dict[str, Any]]:
    """The first objects of a file of JSON lines; lines that are none are passed over."""
    found = []
    for _, line in itertools.islice(numbered_lines(next(text_blocks(path))), most):
        try:
            loaded = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(loaded, dict):
            found.append(loaded)
    return found


def _kind(value: Any) -> str:
    if isinstance(value, list):
        inner = {_kind(each) for each in value} - {""}
        return "texts" if inner <= {"text"} else "object"
    names = {bool: "flag", int: "whole", float: "number", str: "text", type(None): ""}
    return names.get(type(value), "object")


_TYPES = {
    "flag": pa.bool_(),
    "whole": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    "texts": pa.list_(pa.string()),
    "": pa.string(),
}


def _field(
    name: str, kinds: Mapping[str, set[str]], numbers: Collection[str], path: Path
) -> pa.Field:
    if name not in kinds:
        raise RecloraError(
            f"no field {name!r} in the first {_SAMPLED:,} objects; found: {shown(list(kinds))}",
            where=str(path),
            hint=did_you_mean(name, kinds)[:300],
        )
    found = kinds[name] - {""} or {""}
    if found == {"whole", "number"} or (found == {"whole"} and name in numbers):
        found = {"number"}
    [kind, *others] = sorted(found)
    if others or kind == "object":
        said = " and ".join(sorted(found))
        raise RecloraError(
            f"the field {name!r} holds {said} values: text, numbers or lists of texts are read",
            where=str(path),
            hint="Write all of them as text, in quotes." if "object" not in found else None,
        )
    return pa.field(name, _TYPES[kind])


def _columns(table: pa.Table) -> dict[str, pa.Array]:
    return {
        name: pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
