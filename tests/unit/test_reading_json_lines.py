"""JSON lines: what is read of them, the line that is wrong, and what is wrong with it."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reclora_cli.data.reading.json_lines import read_json_lines, read_objects
from reclora_cli.errors import RecloraError

SCHEMA = pa.schema(
    [
        pa.field("user", pa.string(), nullable=False),
        pa.field("stars", pa.int64(), nullable=False),
        ("price", pa.float64()),
        ("verified", pa.bool_()),
        ("authors", pa.list_(pa.struct([("id", pa.string())]))),
    ]
)
GOOD = '{"user": "u1", "stars": 4, "price": 1.5, "verified": true, "authors": [{"id": "7"}]}'


def _write(folder: Path, *lines: str) -> Path:
    file = folder / "rows.jsonl"
    file.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return file


def _rows(file: Path, block_bytes: int = 2**20) -> list[tuple[int, dict[str, Any]]]:
    return [
        (int(line), row)
        for rows in read_json_lines(file, SCHEMA, block_bytes=block_bytes)
        for line, row in zip(rows.lines, rows.table.to_pylist(), strict=True)
    ]


def test_fields_of_the_schema_are_read_and_others_passed_over(tmp_path: Path) -> None:
    file = _write(tmp_path, GOOD, '{"more": {"deep": [1]}, "stars": 5, "user": "u2"}')
    assert _rows(file) == [
        (1, {**json.loads(GOOD)}),
        (2, {"user": "u2", "stars": 5, "price": None, "verified": None, "authors": None}),
    ]


def test_blank_lines_are_no_rows_but_are_counted(tmp_path: Path) -> None:
    file = _write(tmp_path, "", GOOD, "  \t", "\r", GOOD, "")
    assert [line for line, _ in _rows(file)] == [2, 5]


def test_byte_order_mark_and_carriage_returns_are_no_trouble(tmp_path: Path) -> None:
    file = tmp_path / "windows.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + f"{GOOD}\r\n{GOOD}\r\n".encode())
    assert [line for line, _ in _rows(file, 64)] == [1, 2]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"user": "u1", "stars": 4', "not JSON: "),
        ("user,stars", "not JSON: "),
        ('{"user": "u1", "stars": 4,}', "not JSON: "),
        ("[1, 2]", "a list instead of an object"),
        ("7", "7 instead of an object"),
        ('{"user": "u1", "stars": 4} {"user": "u1", "stars": 4}', "not JSON: Extra data"),
        ('{"user": "u1"}', "field stars is missing (found user)"),
        ('{"user": null, "stars": 4}', "field user is null where text is expected"),
        ('{"user": 5, "stars": 4}', "field user is 5 where text is expected"),
        ('{"user": "u1", "stars": "4"}', 'field stars is "4" where a whole number is expected'),
        ('{"user": "u1", "stars": 4.5}', "field stars is 4.5 where a whole number is expected"),
        ('{"user": "u1", "stars": true}', "field stars is true where a whole number"),
        ('{"user": "u1", "stars": 99999999999999999999}', "field stars is 99999999999999999999"),
        ('{"user": "u1", "stars": 4, "price": NaN}', "field price is NaN where a number"),
        ('{"user": "u1", "stars": 4, "price": 1e999}', "field price is Infinity where a number"),
        ('{"user": "u1", "stars": 4, "verified": 1}', "field verified is 1 where true or false"),
        ('{"user": "u1", "stars": 4, "authors": ["7"]}', "field authors is a list where a list"),
        ('{"user": "u1", "stars": 4, "user": "u2"}', "field user stands twice"),
        ('{"user": "\\ud800", "stars": 4}', "half a surrogate pair"),
    ],
)
def test_line_that_does_not_fit_is_named_with_what_is_wrong(
    tmp_path: Path, line: str, problem: str
) -> None:
    file = _write(tmp_path, *[GOOD] * 40, "", line, *[GOOD] * 40)
    for block_bytes in (100, 2**20):
        with pytest.raises(RecloraError) as caught:
            _rows(file, block_bytes)
        assert caught.value.where == f"{file}:42"
        assert problem in caught.value.what


def test_the_first_of_several_broken_lines_is_named(tmp_path: Path) -> None:
    file = _write(tmp_path, *[GOOD] * 17, "oops", *[GOOD] * 5, "[]", '{"stars": 1}')
    with pytest.raises(RecloraError, match=r"rows\.jsonl:18: not JSON"):
        _rows(file)


def test_bytes_that_are_no_utf_8_are_named_even_in_a_field_that_nobody_asked_for(
    tmp_path: Path,
) -> None:
    file = tmp_path / "latin.jsonl"
    file.write_bytes(
        GOOD.encode() + '\n{"user": "u", "stars": 1, "x": "Bj\xf6rn"}\n'.encode("latin-1")
    )
    with pytest.raises(RecloraError, match=r"latin\.jsonl:2: not UTF-8 text: byte 35 .* 0xf6"):
        _rows(file)


@pytest.mark.parametrize(
    "broken",
    [
        '{"user": "u1",\n"stars": 4}',
        '{"user": "a", "stars": 1}{"user": "b",\n"stars": 2}',
        '{"user": "a", "stars": 1}{"user": "b", "stars": 2}\n{"user": "c", "x": [\n{}]}',
    ],
)
def test_object_over_several_lines_is_refused_though_arrow_would_read_it(
    tmp_path: Path, broken: str
) -> None:
    with pytest.raises(RecloraError, match=r"rows\.jsonl:2: not JSON"):
        _rows(_write(tmp_path, GOOD, broken, GOOD))


@pytest.mark.parametrize("deep", ["[" * 10**6 + "]" * 10**6, '{"a":' * 10**6 + "1" + "}" * 10**6])
def test_nesting_a_million_deep_ends_in_rows_or_an_error(tmp_path: Path, deep: str) -> None:
    ignored = _write(tmp_path, f'{{"user": "u", "stars": 1, "x": {deep}}}')
    assert len(_rows(ignored, 2**24)) == 1
    wrong = _write(tmp_path, f'{{"user": {deep}, "stars": 1}}')
    with pytest.raises(RecloraError, match="nested too deeply"):
        _rows(wrong, 2**24)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(1, 5)
    | st.floats()
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "user"]), inner, max_size=2)
    ),
    max_leaves=4,
)
NAMES = st.sampled_from(["user", "stars", "price", "verified", "authors", "other"])
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6)
FITTING = st.fixed_dictionaries(
    {"user": st.text(max_size=5), "stars": st.integers(-(2**63), 2**63 - 1)},
    optional={
        "price": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "verified": st.none() | st.booleans(),
        "authors": st.none() | st.lists(st.fixed_dictionaries({"id": st.text(max_size=3)})),
        "other": VALUES,
    },
)
LINES = st.lists(
    FITTING.map(json.dumps)
    | OBJECTS.map(json.dumps)
    | st.text(alphabet='{}[]":, \t1ea\\', max_size=12)
    | st.just(""),
    max_size=8,
).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))


def _slow(file: Path) -> list[tuple[int, dict[str, Any]]] | None:
    """The oracle: line by line with ``json``; ``None`` when a line does not fit."""
    rows = []
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        if not line.strip(b" \t\r"):
            continue
        try:
            found = json.loads(line.decode())
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or not _fits(found):
            return None
        authors = found.get("authors")
        known = authors and [None if a is None else {"id": a.get("id")} for a in authors]
        row = {name: found.get(name) for name in SCHEMA.names}
        rows.append((number, {**row, "authors": known if authors else authors}))
    return rows


def _fits(found: dict[str, Any]) -> bool:
    stars, price, authors = found.get("stars"), found.get("price"), found.get("authors")
    return (
        isinstance(found.get("user"), str)
        and type(stars) is int
        and -(2**63) <= stars < 2**63
        and (price is None or (type(price) in (int, float) and math.isfinite(price)))
        and (found.get("verified") is None or isinstance(found["verified"], bool))
        and (authors is None or (isinstance(authors, list) and all(map(_is_author, authors))))
    )


def _is_author(author: object) -> bool:
    return author is None or (isinstance(author, dict) and isinstance(author.get("id"), str | None))


@given(content=LINES, block_bytes=st.integers(1, 60))
@example(content=b'{"user":"a","stars":1}{"user":"b","stars":2}\n', block_bytes=1)
def test_what_is_read_is_what_json_reads_however_the_file_is_cut(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, block_bytes: int
) -> None:
    file = tmp_path_factory.mktemp("json") / "rows.jsonl"
    file.write_bytes(b"\n" + content)
    expected = _slow(file)
    for size in (block_bytes, 2**20):
        if expected is None:
            with pytest.raises(RecloraError, match=r"rows\.jsonl:"):
                _rows(file, size)
        else:
            assert _rows(file, size) == expected


def _problem_of(read: Callable[[], object]) -> str | None:
    try:
        read()
    except RecloraError as error:
        return str(error)
    return None


@given(content=st.binary(max_size=60) | LINES, packed=st.booleans())
def test_any_bytes_give_rows_or_an_error_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, packed: bool
) -> None:
    file = tmp_path_factory.mktemp("any") / "rows"
    file.write_bytes(gzip.compress(content) if packed else content)
    for read in (
        lambda: _rows(file, 16),
        lambda: list(read_objects(file, block_bytes=16)),
    ):
        problem = _problem_of(read)
        assert problem is None or str(file) in problem
