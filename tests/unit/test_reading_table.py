"""Rows of CSV, JSON lines and Parquet come out alike; what does not fit is named."""

from __future__ import annotations

import contextlib
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reclora_cli.data.reading.parquet_table import parquet_tables
from reclora_cli.data.reading.table import TableFile, kind_of, read_rows
from reclora_cli.data.reading.values import (
    TimeFormat,
    as_text,
    is_any_of,
    labels,
    numbers,
    require_ids,
)
from reclora_cli.errors import RecloraError

OBJECTS = [{"user": "u1", "stars": 4}, {"user": "u2", "stars": 4.5}, {"user": "u3", "stars": None}]


def _where(at: int) -> str:
    return f"file:{at + 1}"


def _write(kind: str, file: Path) -> Path:
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(OBJECTS), file)
    elif kind == "csv":
        file.write_text("user,stars\n" + "".join(f"{o['user']},{o['stars']}\n" for o in OBJECTS))
    else:
        text = "".join(json.dumps(each) + "\n" for each in OBJECTS)
        file.write_bytes(gzip.compress(text.encode()))
    return file


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_what_a_file_is_shows_in_how_it_begins_whatever_its_name(kind: str, tmp_path: Path):
    assert kind_of(_write(kind, tmp_path / "data")) == kind


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_rows_have_their_columns_and_lines(kind: str, tmp_path: Path):
    file = TableFile(_write(kind, tmp_path / "data"), kind)  # type: ignore[arg-type]
    [rows] = read_rows(file, ["stars", "user"], ["stars"])
    assert list(rows.columns) == ["stars", "user"]
    assert rows.columns["user"].to_pylist() == ["u1", "u2", "u3"]
    first = 2 if kind == "csv" else 1
    assert rows.lines.tolist() == [first, first + 1, first + 2]
    assert rows.where(1) == f"{file.path}:{first + 1}"
    kept = rows.chosen(np.array([True, True, False]))
    assert numbers(kept.columns["stars"], "stars", kept.where).tolist() == [4.0, 4.5]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_missing_column_is_named_with_those_found(kind: str, tmp_path: Path):
    file = TableFile(_write(kind, tmp_path / "data"), kind)  # type: ignore[arg-type]
    with pytest.raises(RecloraError, match=r"'star'.*found: user, stars") as caught:
        list(read_rows(file, ["user", "star"]))
    assert "Did you mean stars?" in str(caught.value.hint)


def test_a_json_field_of_mixed_or_nested_values_is_refused_by_name(tmp_path: Path):
    file = tmp_path / "data.jsonl"
    file.write_text('{"mixed": 1, "nested": {"a": 1}}\n{"mixed": "x", "nested": {}}\n')
    for name, said in (("mixed", "text and whole"), ("nested", "object")):
        with pytest.raises(RecloraError, match=f"'{name}' holds {said} values"):
            list(read_rows(TableFile(file, "jsonl"), [name]))


# -- Parquet ------------------------------------------------------------------------------------


def test_what_is_not_parquet_or_is_damaged_or_empty_is_refused(tmp_path: Path):
    file = _write("parquet", tmp_path / "whole")
    content = file.read_bytes()
    for name, data in (("text", b"a,b\n"), ("cut", content[:-20]), ("magic", b"PAR1")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(RecloraError, match="not a Parquet file"):
            list(parquet_tables(tmp_path / name, ["user"]))
    pq.write_table(pa.table({"user": pa.array([], pa.string())}), tmp_path / "empty")
    with pytest.raises(RecloraError, match="has no rows"):
        list(parquet_tables(tmp_path / "empty", ["user"]))


_SETTINGS = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@_SETTINGS
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "id": st.integers(-(2**62), 2**62),
                "name": st.none() | st.text(st.characters(codec="utf-8"), max_size=6),
                "stars": st.none() | st.floats(allow_nan=False),
            }
        ),
        min_size=1,
        max_size=40,
    ),
    group=st.sampled_from([1, 7, 1000]),
)
def test_any_parquet_table_is_read_back(tmp_path: Path, rows: list[dict], group: int):
    schema = pa.schema([("id", pa.int64()), ("name", pa.string()), ("stars", pa.float64())])
    file = tmp_path / "any.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema), file, row_group_size=group)
    tables = [table for _, table in parquet_tables(file, ["stars", "id", "name"])]
    assert pa.concat_tables(tables).select(schema.names).to_pylist() == rows


@_SETTINGS
@given(data=st.data())
def test_damaged_parquet_gives_rows_or_an_error_that_says_so(tmp_path: Path, data: st.DataObject):
    file = _write("parquet", tmp_path / "whole")
    content = bytearray(file.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    (tmp_path / "damaged").write_bytes(content)
    with contextlib.suppress(RecloraError):
        for _, table in parquet_tables(tmp_path / "damaged", ["user", "stars"]):
            assert table.num_rows


# -- values -------------------------------------------------------------------------------------


def test_lists_flags_and_whole_numbers_become_text():
    assert as_text(pa.array([["a", "b"], []])).to_pylist() == ["a, b", ""]
    assert as_text(pa.array([True, None])).to_pylist() == ["true", None]
    assert as_text(pa.array([7, 2**60])).to_pylist() == ["7", str(2**60)]
    assert as_text(pa.array(["a", "a"]).dictionary_encode()).to_pylist() == ["a", "a"]


@pytest.mark.parametrize("said", ["nan", "inf", "-inf", "four", "", "1_000", "4,5"])
def test_a_rating_that_is_no_finite_number_is_named(said: str):
    with pytest.raises(RecloraError, match="stars: expected a number") as caught:
        numbers(pa.array(["4", " 3.5 ", said]), "stars", _where)
    assert caught.value.where == "file:3"


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_so_is_one_that_a_typed_column_holds(value: float | None):
    with pytest.raises(RecloraError, match="expected a number") as caught:
        numbers(pa.array([4.0, value]), "stars", _where)
    assert caught.value.where == "file:2"


def test_an_empty_id_is_named():
    with pytest.raises(RecloraError, match="user is empty") as caught:
        require_ids(pa.array(["u", "NULL", ""]), {"", "NULL"}, "user", _where)
    assert caught.value.where == "file:2"
    assert require_ids(pa.array(["u"]), {""}, "user", _where).to_pylist() == ["u"]


def test_labels_are_one_and_zero_and_nothing_else():
    column = pa.array(["True", "False"])
    assert labels(column, ["True"], ["False"], "recommend", _where).tolist() == [1.0, 0.0]
    with pytest.raises(RecloraError, match="expected one of 'True', 'False', found 'maybe'"):
        labels(pa.array(["True", "maybe"]), ["True"], ["False"], "recommend", _where)


def test_numbers_that_mean_no_rating_are_met_however_they_are_written():
    column = pa.array(["0", "0.0", "00", "10", "", "none", None])
    assert is_any_of(column, [0]).tolist() == [True, True, True, False, False, False, False]
    assert is_any_of(column, ["", "none"]).tolist() == [False] * 4 + [True, True, True]
    assert is_any_of(pa.array([0.0, 1.0]), [0]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("form", "said", "seconds"),
    [
        ("seconds", "964982703", 964982703),
        ("seconds", "964982703.9", 964982703),
        ("milliseconds", "964982703999", 964982703),
        ("microseconds", "964982703999999", 964982703),
        ("iso8601", "2011-11-05", 1320451200),
        ("iso8601", "2011-11-05T01:00:00Z", 1320454800),
        ("iso8601", "2011-11-05 01:00:00.75+01:00", 1320451200),
        ("%Y-%m-%d", "2011-11-05", 1320451200),
        ("%m %d, %Y", "06 2, 2018", 1527897600),
        ("%a %b %d %H:%M:%S %z %Y", "Mon Aug 10 22:28:14 -0700 2009", 1249968494),
    ],
)
def test_times_in_every_format(form: str, said: str, seconds: int):
    assert TimeFormat(form).seconds(pa.array([said]), "time", _where).tolist() == [seconds]


def test_typed_times_are_read_by_their_type():
    column = pa.array([1320451200_999], pa.timestamp("ms", "UTC"))
    assert TimeFormat("seconds").seconds(column, "time", _where).tolist() == [1320451200]
    day = pa.array([15283], pa.date32())
    assert TimeFormat("seconds").seconds(day, "time", _where).tolist() == [1320451200]


@pytest.mark.parametrize(
    ("form", "said", "hint"),
    [
        ("seconds", "-5", None),
        ("seconds", "0", None),
        ("seconds", "964982703000", "Is it in milliseconds?"),
        ("seconds", "964982703000000", "Is it in microseconds?"),
        ("seconds", "1e300", None),
        ("iso8601", "1066-10-14", None),
    ],
)
def test_a_time_before_1970_or_after_2100_is_named_with_a_guess(
    form: str, said: str, hint: str | None
):
    with pytest.raises(RecloraError, match="no time between 1970 and 2100") as caught:
        TimeFormat(form).seconds(
            pa.array(["964982703" if form == "seconds" else "2001-01-01", said]), "t", _where
        )
    assert (caught.value.where, caught.value.hint) == ("file:2", hint)
    if said.lstrip("-").isdigit():
        assert f" {said} is no time" in caught.value.what


@pytest.mark.parametrize("form", ["seconds", "iso8601", "%Y-%m-%d", "%d.%m.%Y %H:%M"])
def test_what_is_no_time_is_named(form: str):
    with pytest.raises(RecloraError, match=r"t: expected .*found 'yesterday'"):
        TimeFormat(form).seconds(pa.array(["yesterday"]), "t", _where)


@pytest.mark.parametrize(("form", "said"), [("%Y-%m-%d", "2021-02-29"), ("%d/%m/%Y", "31/04/2020")])
def test_a_day_that_no_calendar_has_is_named(form: str, said: str):
    with pytest.raises(RecloraError, match=f"found '{said}'"):
        TimeFormat(form).seconds(pa.array([said]), "t", _where)


def test_days_written_without_zeros_are_read():
    found = TimeFormat("%d/%m/%Y").seconds(pa.array(["3/11/2011", "03/11/2011"]), "t", _where)
    assert found.tolist() == [1320278400, 1320278400]


@_SETTINGS
@given(
    said=st.lists(st.text(max_size=25), max_size=5),
    form=st.sampled_from(["seconds", "milliseconds", "iso8601", "%Y-%m-%d"]),
)
def test_any_texts_are_times_or_an_error(said: list[str], form: str):
    with contextlib.suppress(RecloraError):
        found = TimeFormat(form).seconds(pa.array(said, pa.string()), "t", _where)
        assert len(found) == len(said)
