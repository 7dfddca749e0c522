"""CSV in a stream of typed tables, in bounded memory.

pyarrow reads at ten million ratings a second and more, but says little of what is wrong. So a
file is read the fast way, and searched again for the line that does not fit only when one does not.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from reclora_cli.data.reading.blocks import BLOCK_BYTES, LONGEST_LINE
from reclora_cli.data.reading.csv_dialect import (
    Dialect,
    Header,
    csv_lines,
    not_utf8,
    places_of,
    read_header,
    shown,
)
from reclora_cli.data.reading.utf8 import Utf8Stream
from reclora_cli.errors import RecloraError

_EXPECTED = {pa.int64(): "a whole number", pa.float64(): "a number", pa.string(): "text"}
_SHOWN = 60
# What pyarrow says of such a row; its handler for them fails where the row is not UTF-8.
_WRONG_COUNT = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)


def csv_tables(
    path: Path, columns: Mapping[str, pa.DataType], dialect: Dialect | None = None
) -> Iterator[tuple[int, pa.Table]]:
    """The named columns, block by block, with the line that each block begins at.

    Lines are counted as records: where quoted values hold line breaks, or lines are empty, the
    count runs behind the file's.

    Args:
        path: the file, plain or gzip.
        columns: name -> int64, float64, string or binary. Numbers may be missing (null), text not.
        dialect: how values are written; plain CSV in UTF-8 by default.

    Raises:
        MissingInputError: no such file.
        RecloraError: a column is missing, or a line does not fit; the line is named as the file
            counts it.
    """
    yield from _Reading(path, columns, dialect or Dialect()).tables()


def csv_columns(path: Path, dialect: Dialect | None = None) -> tuple[str, ...]:
    """The names of the columns."""
    stream = _opened(path, dialect or Dialect())
    try:
        return read_header(stream, dialect or Dialect(), path).names
    finally:
        stream.close()


def _opened(path: Path, dialect: Dialect) -> Utf8Stream:
    return Utf8Stream(path, dialect.encoding)


class _Reading:
    """One pass over a file."""

    def __init__(self, path: Path, columns: Mapping[str, pa.DataType], dialect: Dialect) -> None:
        self._path = path
        self._columns = columns
        self._dialect = dialect
        self._rows = 0

    def tables(self) -> Iterator[tuple[int, pa.Table]]:
        stream = _opened(self._path, self._dialect)
        try:
            header = read_header(stream, self._dialect, self._path)
            for batch in self._whole(self._batches(stream, header, self._columns)):
                table = pa.Table.from_batches([batch]).rename_columns(list(self._columns))
                yield header.lines + 1 + self._rows, table
                self._rows += len(batch)
            if not self._rows:
                raise self._without_rows(header)
        except pa.ArrowInvalid as error:
            raise self._explained(error, header) from None
        finally:
            stream.close()

    def _end(self, columns: int) -> bytes:
        """An empty row after the last one, by which an open quote shows: see ``_whole``."""
        if self._dialect.quote is None:
            return b""
        values = self._dialect.delimiter * (columns - 1) or self._dialect.quote * 2
        return b"\n" + values.encode() + b"\n"

    def _whole(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches without the empty row at the end, where ``_end`` puts one.

        Raises:
            RecloraError: it is not there: an open quote has swallowed it, and who knows how much.
        """
        if self._dialect.quote is None:
            yield from (batch for batch in batches if len(batch))
            return
        held: pa.RecordBatch | None = None
        for batch in batches:
            if len(batch):
                if held is not None:
                    yield held
                held = batch
        if held is None:
            return
        if not all(column[-1].as_py() in {None, "", b""} for column in held.columns):
            raise RecloraError(
                "a quote in this row is never closed",
                where=self._place(self._rows + len(held)),
                hint="All that follows would be one value. If quotes mean nothing in this file, "
                "set quote: null.",
            )
        if len(held) > 1:
            yield held[:-1]

    def _batches(
        self, stream: Utf8Stream, header: Header, columns: Mapping[str, pa.DataType]
    ) -> Iterator[pa.RecordBatch]:
        # The header's names may repeat or be empty, so pyarrow is given numbers.
        names = [str(at) for at in range(len(header.names))]
        wanted = [str(at) for at in places_of(columns, header, self._dialect, self._path)]
        first = stream.read_block()
        if not first:
            return
        stream.push_back(first)
        stream.append(self._end(len(names)))
        yield from pyarrow.csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=pyarrow.csv.ReadOptions(
                block_size=BLOCK_BYTES, column_names=names, use_threads=False
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=self._dialect.delimiter,
                quote_char=self._dialect.quote or False,
                escape_char=self._dialect.escape or False,
                newlines_in_values=self._dialect.quote is not None,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict(zip(wanted, columns.values(), strict=True)),
                strings_can_be_null=False,
            ),
        )

    def _without_rows(self, header: Header) -> RecloraError:
        said = "no rows follow the header" if header.lines else "the file has no rows"
        return RecloraError(said, where=str(self._path))

    # -- what is wrong, and where ---------------------------------------------------------------

    def _explained(self, error: pa.ArrowInvalid, header: Header) -> RecloraError:
        broken = _WRONG_COUNT.search(str(error))
        if broken is not None:
            return self._wrong_count(broken, header)
        if "straddling" in str(error):
            return RecloraError(
                f"a row longer than {LONGEST_LINE // 2**20} MiB, or a quote that is never closed",
                where=self._place(self._rows + 1),
                hint="It begins at this line or after it. If quotes mean nothing in this file, "
                "set quote: null.",
            )
        if "Empty CSV file" in str(error):
            return self._without_rows(header)
        return self._misfit(header) or RecloraError(str(error), where=str(self._path))

    def _wrong_count(self, told: re.Match[str], header: Header) -> RecloraError:
        row, expected, found, text = told.groups()
        lines = text.count("\n") + 1
        hint = f"The columns are {shown(header.names)}."
        if lines > 1 and self._dialect.quote:
            hint = f"A quote in it runs over {lines:,} lines: is it closed? " + hint
        return RecloraError(
            f"expected {expected} values, found {found}: {_cut(text)!r}",
            where=self._place(int(row)),
            hint=hint,
        )

    def _misfit(self, header: Header) -> RecloraError | None:
        """The first value that is not of its column's type."""
        raw = dict.fromkeys(self._columns, pa.binary())
        stream = _opened(self._path, self._dialect)
        row = 1
        try:
            header = read_header(stream, self._dialect, self._path)
            for batch in self._batches(stream, header, raw):
                found = [
                    (at, name, batch.column(place)[at].as_py())
                    for place, (name, kind) in enumerate(self._columns.items())
                    if (at := _first_misfit(batch.column(place), kind)) is not None
                ]
                if found:
                    at, name, value = min(found)
                    return self._unfit(name, value, self._place(row + at))
                row += len(batch)
        except pa.ArrowInvalid:
            return None
        finally:
            stream.close()
        return None

    def _unfit(self, name: str, value: bytes, where: str) -> RecloraError:
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError as error:
            told = not_utf8(value[error.start : error.start + 1], where)
            return RecloraError(f"{name} is {told.what}", where=where, hint=told.hint)
        expected = _EXPECTED.get(self._columns[name], str(self._columns[name]))
        return RecloraError(f"{name}: expected {expected}, found {_cut(text)!r}", where=where)

    def _place(self, row: int) -> str:
        """Where row number ``row`` (from 1) stands, as the file counts lines."""
        return f"{self._path}:{line_of(self._path, row, self._dialect)}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def line_of(path: Path, row: int, dialect: Dialect) -> int:
    """Number of the first line of row number ``row``, both from 1, the header not counted as a row.

    Reads the file up to there with Python's own reader. Where that gives up, the count of rows is
    given instead.
    """
    skipped = 0 if dialect.header is not None else 1
    stream = _opened(path, dialect)
    try:
        reader = dialect.reader(_lines(stream))
        seen, line = 0, 1
        for record in reader:
            seen += bool(record)
            if seen == row + skipped:
                # A record of several lines begins where the one before it ended.
                return max(line, 1)
            line = reader.line_num + 1
    except (csv.Error, RecloraError):
        pass
    finally:
        stream.close()
    return row + skipped


def _lines(stream: Utf8Stream) -> Iterator[str]:
    while block := stream.read_block():
        yield from csv_lines(block.decode("utf-8", "replace"))


def _first_misfit(column: pa.Array, kind: pa.DataType) -> int | None:
    """The first value that cannot be read as ``kind``, after pyarrow's own rules."""
    if _fits(column, kind):
        return None
    start, end = 0, len(column)
    while end - start > 1:
        middle = (start + end) // 2
        start, end = (start, middle) if not _fits(column[start:middle], kind) else (middle, end)
    return start


def _fits(column: pa.Array, kind: pa.DataType) -> bool:
    if pa.types.is_binary(kind):
        return True
    try:
        text = column.cast(pa.string())
    except pa.ArrowInvalid:
        return False
    if pa.types.is_string(kind):
        return True
    return _numbers_fit(text, kind)


def _numbers_fit(text: pa.Array, kind: pa.DataType) -> bool:
    values: Sequence[str] = [value.strip() for value in text.to_pylist()]
    known = pyarrow.csv.ConvertOptions().null_values
    filled = [value for value in values if value not in known]
    try:
        pa.array(filled, pa.string()).cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
