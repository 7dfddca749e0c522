"""CSV is read as it was written, and whatever does not fit is named by file and line."""

from __future__ import annotations

import contextlib
import csv
import io
import time
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reclora_cli.data.reading import csv_table
from reclora_cli.data.reading.csv_dialect import Dialect
from reclora_cli.data.reading.csv_table import csv_columns, csv_tables
from reclora_cli.errors import MissingInputError, RecloraError

TYPED = {"a": pa.int64(), "b": pa.string()}


def _read(path: Path, content: bytes, columns=TYPED, **dialect) -> list[dict]:
    path.write_bytes(content)
    tables = csv_tables(path, columns, Dialect(**dialect))
    return [row for _, table in tables for row in table.to_pylist()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ratings.csv"


def _refused(file: Path, content: bytes, columns=TYPED, **dialect) -> RecloraError:
    with pytest.raises(RecloraError) as caught:
        _read(file, content, columns, **dialect)
    return caught.value


# -- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,x\n2,y\n",
        b"a,b\r\n1,x\r\n2,y\r\n",
        b"a,b\n1,x\n2,y",
        b"\xef\xbb\xbfa,b\n1,x\n2,y\n",
        b"b,unread,a\nx,\xff,1\ny,,2\n",
        b'"a","b"\n"1","x"\n"2","y"\n',
        b"a,b\n\n1,x\n\n2,y\n\n",
        b" a , b \n1,x\n2,y\n",
    ],
    ids=["plain", "crlf", "no end", "bom", "order", "quoted", "empty lines", "blanks in header"],
)
def test_the_same_rows_however_they_are_written(file: Path, content: bytes):
    assert _read(file, content) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_other_encodings_are_read_when_they_are_named(file: Path):
    for encoding in ("latin-1", "cp1252", "utf-16", "utf-16-le"):
        assert _read(file, "a,b\n1,café\n".encode(encoding), encoding=encoding) == [
            {"a": 1, "b": "café"}
        ]


def test_backslashes_escape_quotes_and_semicolons_separate_when_they_are_named(file: Path):
    content = b'"a";"b"\r\n"1";"\\"O\\" is for Outlaw; a novel"\r\n'
    assert _read(file, content, delimiter=";", escape="\\") == [
        {"a": 1, "b": '"O" is for Outlaw; a novel'}
    ]


def test_a_file_without_header_has_the_names_that_the_dialect_gives(file: Path):
    assert _read(file, b"1,x\n", header=("a", "b")) == [{"a": 1, "b": "x"}]


def test_without_quotes_a_quote_is_a_character(file: Path):
    assert _read(file, b'a,b\n1,"x\n', quote=None) == [{"a": 1, "b": '"x'}]


@pytest.mark.parametrize("quote", ['"', "'", None])
def test_a_file_of_one_column_is_read(file: Path, quote: str | None):
    text = {"b": pa.string()}
    assert _read(file, b"b\nx\n\ny", text, quote=quote) == [{"b": "x"}, {"b": "y"}]


def test_a_block_begins_at_the_line_it_is_said_to(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 64)
    lines = [f"{at},{'x' * (at % 9)}" for at in range(500)]
    file.write_text("a,b\n" + "\n".join(lines) + "\n")
    tables = list(csv_tables(file, TYPED))
    assert len(tables) > 10
    for line, table in tables:
        assert table.column("a")[0].as_py() == line - 2


# -- what is refused ----------------------------------------------------------------------------


def test_a_missing_file_is_missing(tmp_path: Path):
    with pytest.raises(MissingInputError):
        list(csv_tables(tmp_path / "none.csv", TYPED))


def test_a_wrong_delimiter_is_told_with_the_one_the_header_seems_to_have(file: Path):
    error = _refused(file, b"a;b\n1;x\n")
    assert "no column 'a'; found: a;b" in error.what
    assert "semicolon" in str(error.hint)
    assert "delimiter: ';'" in str(error.hint)


def test_a_missing_column_is_named_with_those_found_and_the_near_one(file: Path):
    error = _refused(file, b"aa,b\n1,x\n", {"aaa": pa.int64()})
    assert error.what == "no column 'aaa'; found: aa, b"
    assert "Did you mean aa?" in str(error.hint)


def test_latin_1_read_as_utf_8_is_named_by_line_with_the_encoding_to_try(file: Path):
    error = _refused(file, "a,b\n1,x\n2,café\n".encode("latin-1"))
    assert error.where == f"{file}:3"
    assert "not UTF-8: byte 0xe9" in error.what
    assert "latin-1" in str(error.hint)


def test_text_that_is_not_in_the_named_encoding_is_named_by_line(file: Path):
    error = _refused(file, b"a,b\n1,x\n2,\x81\n", encoding="cp1252")
    assert error.where == f"{file}:3"


def test_utf_16_is_recognised(file: Path):
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        error = _refused(file, ("a,b\n" + "1,x\n" * 20).encode(encoding))
        assert "UTF-16" in error.what
        assert "encoding: utf-16" in str(error.hint)


def test_a_nul_byte_is_named_by_line(file: Path):
    error = _refused(file, b"a,b\n1,x\n2,y\0\n")
    assert error.where == f"{file}:3"
    assert "NUL" in error.what


@pytest.mark.parametrize("row", [b"2", b"2,y,z"])
def test_a_row_of_too_few_or_too_many_values_is_named(file: Path, row: bytes):
    error = _refused(file, b"a,b\n1,x\n\n" + row + b"\n3,z\n")
    assert error.where == f"{file}:4"
    assert f"expected 2 values, found {row.count(b',') + 1}" in error.what


def test_so_is_one_that_is_not_text_either(file: Path):
    error = _refused(file, b"a,b\n1,x\n2,\x80,\x81\n")
    assert error.where == f"{file}:3"
    assert "expected 2 values, found 3" in error.what


def test_a_value_of_another_type_is_named_by_its_line_in_the_file(file: Path):
    error = _refused(file, b'a,b\n1,"x\n\n"\n\ntwo,y\n')
    assert error.where == f"{file}:6"
    assert error.what == "a: expected a whole number, found 'two'"


def test_line_separators_of_unicode_within_quotes_are_no_lines(file: Path):
    file.write_bytes('name,n\n"a\u2028b\x85c\x0bd",1\ne,x\n'.encode())
    with pytest.raises(RecloraError, match="found 'x'") as caught:
        list(csv_tables(file, {"name": pa.string(), "n": pa.int64()}))
    assert caught.value.where == f"{file}:3"


def test_lines_are_counted_across_blocks(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 64)
    error = _refused(file, b"a,b\n" + b"1,x\n" * 500 + b"two,y\n" + b"1,x\n" * 500)
    assert error.where == f"{file}:502"


def test_a_column_of_two_names_alike_is_refused_only_when_it_is_read(file: Path):
    assert "2 columns are called 'a'" in _refused(file, b"a,a,b\n1,2,x\n").what
    assert _read(file, b"a,c,c,b\n1,2,3,x\n") == [{"a": 1, "b": "x"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"a,b\n", "no rows follow the header"),
        (b"a,b", "no rows follow the header"),
        (b"\n\na,b\n1,x\n", "the first line is empty"),
    ],
)
def test_an_empty_file_and_one_of_nothing_but_a_header(file: Path, content: bytes, said: str):
    assert said in _refused(file, content).what


def test_a_quote_that_is_never_closed_is_told_where_it_may_begin(file: Path):
    short = _refused(file, b'a,b\n1,x\n2,"y\n' + b"1,x\n" * 10)
    assert short.where == f"{file}:3"
    assert "never closed" in short.what
    other = _refused(file, b'a,b\n1,x\n"2,y\n' + b"1,x\n" * 10)
    assert other.where == f"{file}:3"
    assert "is it closed?" in str(other.hint)
    long = _refused(file, b'a,b\n1,x\n2,"y\n' + b"1,x\n" * 8_000_000)
    assert "quote that is never closed" in long.what
    assert str(long.where).startswith(f"{file}:")


def test_a_line_of_100_mb_is_refused_fast_and_in_bounded_memory(file: Path):
    with file.open("wb") as opened:
        opened.write(b"a,b\n1,x\n2,")
        for _ in range(100):
            opened.write(b"y" * 2**20)
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(RecloraError, match="longer than 16 MiB") as caught:
        list(csv_tables(file, TYPED))
    assert caught.value.where == f"{file}:3"
    assert time.perf_counter() - started < 5
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()


def test_a_million_columns_are_refused_fast_and_in_bounded_memory(file: Path):
    content = ",".join(f"c{at}" for at in range(1_000_000)).encode()
    started = time.perf_counter()
    error = _refused(file, content + b"\n" + b"," * 999_999 + b"\n")
    assert "1,000,000 columns: at most 4,096 are read" in error.what
    assert time.perf_counter() - started < 5


def test_a_reading_that_is_given_up_ends_quietly(file: Path):
    file.write_text("a,b\n" + "1,x\n" * 3_000_000)
    tables = csv_tables(file, TYPED)
    next(tables)
    tables.close()  # type: ignore[attr-defined]


# -- whatever is written ------------------------------------------------------------------------

_VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)
_FAST = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@_FAST
@given(
    rows=st.lists(st.tuples(_VALUES, _VALUES, _VALUES), min_size=1, max_size=30),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    end=st.sampled_from(["\n", "\r\n"]),
    block=st.sampled_from([256, 2**23]),
)
def test_any_table_that_csv_writes_is_read_back(
    file: Path, rows: list[tuple[str, str, str]], delimiter: str, end: str, block: int
):
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b", "c"), *rows])
    columns = dict.fromkeys("abc", pa.string())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_table, "BLOCK_BYTES", block)
        found = _read(file, written.getvalue().encode(), columns, delimiter=delimiter)
    assert [tuple(row.values()) for row in found] == rows


@_FAST
@given(
    content=st.binary(max_size=300)
    | st.lists(st.sampled_from([b"a,b", b"1,x", b'"', b",", b"\n", b"\r\n", b"\xe9", b"\\"])).map(
        b"".join
    ),
    encoding=st.sampled_from(["utf-8", "latin-1", "cp1252", "utf-16"]),
    escape=st.sampled_from([None, "\\"]),
)
def test_any_bytes_give_rows_or_an_error_that_says_what_is_wrong(
    file: Path, content: bytes, encoding: str, escape: str | None
):
    file.write_bytes(content)
    dialect = Dialect(encoding=encoding, escape=escape)
    with contextlib.suppress(RecloraError):
        names = csv_columns(file, dialect)
        for _, table in csv_tables(file, {names[0]: pa.int64(), names[-1]: pa.string()}, dialect):
            assert table.num_rows
