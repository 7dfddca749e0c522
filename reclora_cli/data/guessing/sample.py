"""The first rows of a file that nothing is known of, and how it seems to write its values."""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from reclora_cli.data.reading.blocks import read_blocks
from reclora_cli.data.reading.csv_dialect import Dialect, csv_lines
from reclora_cli.data.reading.csv_table import csv_columns
from reclora_cli.data.reading.parquet_table import parquet_schema
from reclora_cli.data.reading.table import TableFile, kind_of, read_rows, sample_objects
from reclora_cli.data.reading.values import as_text
from reclora_cli.errors import RecloraError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ESCAPED = re.compile(rb"\\\"(?![,;\t|:\r\n])")  # not at a value's end, where it is a backslash
_LIKELY = ("\t", ";", "|", ",")  # commas last: where another is as even, they stand in texts
_RECORDS = 50
_HEAD = 2**18
_TEXTUAL = (pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean)


@dataclass(frozen=True)
class Sample:
    """A file and its first rows: some hundred thousand at most.

    Attributes:
        file: how to read it.
        columns: name -> (n,) values as text.
        lists: columns that hold lists (JSON).
    """

    file: TableFile
    columns: dict[str, pa.Array]
    lists: frozenset[str] = frozenset()

    @property
    def path(self) -> Path:
        return self.file.path

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def take_sample(path: Path) -> Sample:
    """The first rows of ``path``.

    Raises:
        MissingInputError: no such file.
        RecloraError: it cannot be read as a table.
    """
    kind = kind_of(path)
    if kind != "csv":
        return _first_rows(TableFile(path, kind))
    dialect = guess_dialect(path)
    try:
        return _first_rows(TableFile(path, kind, dialect))
    except RecloraError:
        # Quotes may mean nothing in it.
        return _first_rows(TableFile(path, kind, replace(dialect, quote=None)))


def _first_rows(file: TableFile) -> Sample:
    names = _readable(file)
    if not names:
        raise RecloraError(
            "no columns of text or numbers are in it",
            where=str(file.path),
            hint="One JSON object a line; all values of a field are text, or all are numbers."
            if file.kind == "jsonl"
            else None,
        )
    rows = next(iter(read_rows(file, names)))
    lists = frozenset(
        name for name, values in rows.columns.items() if pa.types.is_list(values.type)
    )
    return Sample(file, {name: as_text(values) for name, values in rows.columns.items()}, lists)


def every_column(file: TableFile) -> Sequence[str]:
    """The names of all columns, in order, also of those that are not read."""
    if file.kind == "csv":
        return csv_columns(file.path, file.dialect)
    if file.kind == "parquet":
        return parquet_schema(file.path).names
    return list(dict.fromkeys(name for found in sample_objects(file.path) for name in found))


def guess_dialect(path: Path) -> Dialect:
    """How a CSV file seems to write its values."""
    encoding, escape = _looked_through(path)
    text = next(read_blocks(path)).data[:_HEAD].decode(encoding, "replace").removeprefix("\ufeff")
    text = text[: text.rfind("\n") + 1] or text
    delimiter = max(_LIKELY, key=lambda each: _evenness(text, each, escape))
    dialect = Dialect(delimiter, encoding, escape=escape)
    first = next(dialect.records(csv_lines(text)), [])
    if any(_is_number(value) for value in first):
        names = tuple(f"column_{at}" for at in range(1, len(first) + 1))
        return replace(dialect, header=names)
    return dialect


def _looked_through(path: Path) -> tuple[str, str | None]:
    """The first encoding that all of the file is in, and a backslash if it escapes quotes."""
    possible = ["utf-8", "cp1252", "latin-1"]
    decoders = {name: codecs.getincrementaldecoder(name)() for name in possible}
    escape = None
    for block in read_blocks(path):
        if block.first_line == 1 and block.data.startswith(_UTF_16):
            return "utf-16", None
        while len(possible) > 1 and not _decodes(decoders[possible[0]], block.data):
            possible.pop(0)
        if _ESCAPED.search(block.data):
            escape = "\\"
    return possible[0], escape


def _decodes(decoder: codecs.IncrementalDecoder, data: bytes) -> bool:
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _evenness(text: str, delimiter: str, escape: str | None) -> tuple[int, int]:
    """How many of the first records have as many values as the first, and how many those are."""
    dialect = Dialect(delimiter, escape=escape)
    try:
        records = list(itertools.islice(dialect.records(csv_lines(text)), _RECORDS))
    except csv.Error:
        return (0, 0)
    width = len(records[0]) if records else 0
    if width < 2:
        return (0, 0)
    return (sum(len(record) == width for record in records), width)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _readable(file: TableFile) -> Sequence[str]:
    """Columns that are read: once named, and of text, numbers, times or lists of texts."""
    if file.kind == "csv":
        names = csv_columns(file.path, file.dialect)
        return [name for name in dict.fromkeys(names) if names.count(name) == 1 and name]
    if file.kind == "parquet":
        return [field.name for field in parquet_schema(file.path) if _is_plain(field.type)]
    kinds: dict[str, set[type]] = {}
    for found in sample_objects(file.path):
        for name, value in found.items():
            kinds.setdefault(name, set()).add(type(value))
    plain: tuple[set[type], ...] = ({str}, {bool}, {int, float})
    return [
        name
        for name, types in kinds.items()
        if any(types - {type(None)} <= allowed for allowed in plain)
        or (types - {type(None)} == {list} and _lists_of_text(file.path, name))
    ]


def _lists_of_text(path: Path, name: str) -> bool:
    values = (found.get(name) for found in sample_objects(path))
    return all(isinstance(each, str) for value in values for each in value or ())


def _is_plain(kind: pa.DataType) -> bool:
    tests = (*_TEXTUAL, pa.types.is_integer, pa.types.is_floating, pa.types.is_temporal)
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    if pa.types.is_list(kind):
        return pa.types.is_string(kind.value_type)
    return any(test(kind) for test in tests)
