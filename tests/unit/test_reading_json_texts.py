"""JSON lines of which nobody has said the types: their fields, as text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclora_cli.data.reading.json_texts import fields_found, read_json_texts
from reclora_cli.errors import RecloraError


def _write(folder: Path, *lines: str) -> Path:
    file = folder / "rows.jsonl"
    file.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return file


def _texts(file: Path, names: list[str], block_bytes: int = 2**20) -> list[dict[str, Any]]:
    found = read_json_texts(file, names, block_bytes=block_bytes)
    return [row for rows in found for row in rows.table.to_pylist()]


def test_values_become_the_text_that_json_writes(tmp_path: Path) -> None:
    file = _write(
        tmp_path,
        '{"a": "x", "b": 5, "c": 5.0, "d": true, "e": [1, "\\u00e9", [null]], "f": null}',
        '{"a": 12345678901234567890, "b": 0.5, "c": -0.0, "d": "no", "e": [], "g": 1}',
    )
    assert _texts(file, list("abcdef")) == [
        {"a": "x", "b": "5", "c": "5", "d": "true", "e": '[1, "é", [null]]', "f": None},
        {"a": "12345678901234567890", "b": "0.5", "c": "0", "d": "no", "e": "[]", "f": None},
    ]


def test_columns_of_one_type_are_read_by_arrow_with_the_same_text(tmp_path: Path) -> None:
    file = _write(tmp_path, *['{"a": "x", "b": 5, "c": 4.0, "d": false}'] * 3, '{"c": 3.5}')
    one = {"a": "x", "b": "5", "c": "4", "d": "false"}
    assert _texts(file, list("abcd")) == [one] * 3 + [{"a": None, "b": None, "c": "3.5", "d": None}]


PLAIN = st.lists(
    st.dictionaries(
        st.sampled_from(["a", "b"]),
        st.none()
        | st.text(max_size=4)
        | st.integers()
        | st.floats()
        | st.booleans()
        | st.lists(st.integers(0, 3), max_size=2),
    ),
    min_size=1,
    max_size=12,
)


@given(rows=PLAIN | st.lists(st.fixed_dictionaries({"a": st.integers() | st.floats()}), min_size=1))
def test_text_is_the_same_however_the_file_is_cut(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    file = _write(tmp_path_factory.mktemp("texts"), *map(json.dumps, rows))

    def found(block_bytes: int) -> list[dict[str, Any]] | str:
        try:
            return _texts(file, ["a", "b"], block_bytes)
        except RecloraError as error:
            return str(error)

    assert found(1) == found(30) == found(2**20)


def test_object_is_no_column_and_the_line_is_named(tmp_path: Path) -> None:
    file = _write(tmp_path, '{"a": "x"}', '{"a": [{"b": 1}]}')
    with pytest.raises(RecloraError, match=r"rows\.jsonl:2: field a is an object"):
        _texts(file, ["a"])
    assert _texts(_write(tmp_path, '{"a": "x", "b": {"c": 1}}'), ["a"]) == [{"a": "x"}]


def test_number_that_is_none_is_refused_only_where_it_is_asked_for(tmp_path: Path) -> None:
    file = _write(tmp_path, '{"a": 1, "b": NaN}')
    assert _texts(file, ["a"]) == [{"a": "1"}]
    with pytest.raises(RecloraError, match=r"rows\.jsonl:1: field b is NaN, which is no number"):
        _texts(file, ["b"])


def test_fields_are_found_in_order_with_what_they_hold(tmp_path: Path) -> None:
    file = _write(
        tmp_path,
        '{"user": "u", "stars": 4, "tags": ["a"], "style": null, "mixed": 1, "empty": null}',
        '{"new": true, "style": {"size": "L"}, "stars": 4.5, "mixed": "one"}',
    )
    assert list(fields_found(file).items()) == [
        ("user", "text"),
        ("stars", "number"),
        ("tags", "list"),
        ("style", "object"),
        ("mixed", "text"),
        ("empty", "nothing"),
        ("new", "yes or no"),
    ]
    assert "new" not in fields_found(file, lines=1)


def test_real_reviews_in_gzip_are_read_whole(real_data: Path) -> None:
    file = real_data / "amazon-gift-cards" / "Gift_Cards_5.json.gz"
    names = ["reviewerID", "asin", "overall", "unixReviewTime"]
    texts = _texts(file, names)
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        expected = [json.loads(line) for line in lines]
    assert len(texts) == 2972
    assert [row["asin"] for row in texts] == [row["asin"] for row in expected]
    assert [float(row["overall"]) for row in texts] == [row["overall"] for row in expected]
