"""Reading original files: what is read, and how a line that does not fit is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclora_cli.data.sources import ml_1m, ml_100k
from reclora_cli.data.sources.delimited import ID, Column, read_delimited
from reclora_cli.errors import MissingInputError, RecloraError
from tests.world import write_ml_1m

EVERY = pa.array(range(10_000))
FLAGS = "0|1|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0"


@pytest.fixture
def ml_1m_files(tmp_path: Path) -> Path:
    return write_ml_1m(tmp_path / "ml-1m")


@pytest.fixture
def ml_100k_files(tmp_path: Path) -> Path:
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    (folder / "u.data").write_text("1\t7\t3\t881250949\n2\t7\t5\t881250950\n")
    (folder / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|V1A2B\n")
    line = f"7|Misérables, Les (1995) |01-Jan-1995||http://x|{FLAGS}\n"
    (folder / "u.item").write_bytes(line.encode("latin-1"))
    return folder


def _spoil(file: Path, number: int, change: Callable[[str], str]) -> None:
    lines = file.read_bytes().decode("latin-1").split("\n")
    lines[number - 1] = change(lines[number - 1])
    file.write_bytes("\n".join(lines).encode("latin-1"))


@pytest.mark.parametrize(
    ("spoilt", "problem"),
    [
        ("1::1193::5", "3 columns instead of 4"),
        ("1::1193::5::978300760::9", "5 columns instead of 4"),
        ("", "1 columns instead of 4"),
        ("1::x::5::978300760", "'x' is no item_id"),
        ("1::1193::6::978300760", "'6' is no rating (whole number 1 .. 5)"),
        ("1::1193::0::978300760", "'0' is no rating (whole number 1 .. 5)"),
        ("1::1193::3.5::978300760", "'3.5' is no rating (whole number 1 .. 5)"),
        ("1::1193::5::-4", "'-4' is no timestamp"),
        ("1:1193:5:978300760", "1 columns instead of 4"),
    ],
)
def test_broken_line_is_named_with_file_line_and_what_was_expected(
    ml_1m_files: Path, spoilt: str, problem: str
) -> None:
    file = ml_1m_files / "ratings.dat"
    _spoil(file, 17, lambda _: spoilt)
    with pytest.raises(RecloraError) as caught:
        ml_1m.read(ml_1m_files)
    assert caught.value.where == f"{file}:17"
    assert caught.value.what.startswith(problem)
    assert "Expected user_id (whole number 1" in str(caught.value)
    assert caught.value.exit_code == 1


def test_two_wrongs_that_balance_are_not_read_as_right(ml_1m_files: Path) -> None:
    file = ml_1m_files / "ratings.dat"
    _spoil(file, 3, lambda line: line + "::9")
    _spoil(file, 5, lambda line: line.rpartition("::")[0])
    with pytest.raises(RecloraError, match="5 columns instead of 4") as caught:
        ml_1m.read(ml_1m_files)
    assert caught.value.where == f"{file}:3"


def test_an_interruption_that_pandas_swallows_is_one_still(
    ml_1m_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swallowed(*_: object, **__: object) -> None:
        message = "Error tokenizing data. C error: Calling read(nbytes) on source failed."
        raise pd.errors.ParserError(message)

    monkeypatch.setattr(pd, "read_csv", swallowed)
    with pytest.raises(KeyboardInterrupt):
        list(ml_1m.read(ml_1m_files).interactions())


@pytest.mark.parametrize("name", ["ratings.dat", "users.dat", "movies.dat"])
def test_missing_file_is_named(ml_1m_files: Path, name: str) -> None:
    (ml_1m_files / name).unlink()
    with pytest.raises(MissingInputError, match=f"{name} is missing"):
        ml_1m.read(ml_1m_files)


@pytest.mark.parametrize("name", ["ratings.dat", "users.dat", "movies.dat"])
def test_file_that_ends_in_the_middle_of_a_line_is_refused(ml_1m_files: Path, name: str) -> None:
    file = ml_1m_files / name
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(RecloraError, match="cut off") as caught:
        ml_1m.read(ml_1m_files)
    last = len(file.read_bytes().split(b"\n"))
    assert caught.value.where == f"{file}:{last}"


def test_empty_file_is_refused(ml_1m_files: Path) -> None:
    (ml_1m_files / "ratings.dat").write_bytes(b"")
    with pytest.raises(RecloraError, match="the file is empty"):
        ml_1m.read(ml_1m_files)


@pytest.mark.parametrize(
    ("column", "line", "described_in"),
    [
        ("user_id", "2::5::3::978300760", "users.dat"),
        ("item_id", "1::6::3::978300760", "movies.dat"),
    ],
)
def test_rating_of_something_undescribed_is_named(
    ml_1m_files: Path, column: str, line: str, described_in: str
) -> None:
    file = ml_1m_files / "ratings.dat"
    _spoil(file, 9, lambda _: line)
    with pytest.raises(RecloraError, match=f"{column} . is not in {described_in}") as caught:
        ml_1m.read(ml_1m_files)
    assert caught.value.where == f"{file}:9"


def test_user_described_twice_is_named(ml_1m_files: Path) -> None:
    file = ml_1m_files / "users.dat"
    _spoil(file, 4, lambda _: file.read_text().split("\n")[0])
    with pytest.raises(RecloraError, match="a second time") as caught:
        ml_1m.read(ml_1m_files)
    assert caught.value.where == f"{file}:4"


def test_unknown_gender_is_named(ml_1m_files: Path) -> None:
    file = ml_1m_files / "users.dat"
    _spoil(file, 2, lambda line: line.replace("::M::", "::X::").replace("::F::", "::X::"))
    with pytest.raises(RecloraError, match="'X' is not a known gender") as caught:
        ml_1m.read(ml_1m_files)
    assert caught.value.where == f"{file}:2"


def test_windows_line_ends_are_read_alike(ml_1m_files: Path) -> None:
    before = ml_1m.read(ml_1m_files)
    for file in ml_1m_files.iterdir():
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    after = ml_1m.read(ml_1m_files)
    for name in ("users", "items"):
        pd.testing.assert_frame_equal(getattr(after, name)(EVERY), getattr(before, name)(EVERY))
    [one], [other] = before.interactions(), after.interactions()
    for name in ("users", "items", "ratings", "times", "lines"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()


def test_ml_1m_profiles_are_worded_as_in_the_prompt(ml_1m_files: Path) -> None:
    file = ml_1m_files / "users.dat"
    _spoil(file, 1, lambda _: "1::F::1::10::48067")
    _spoil(file, 2, lambda _: "4::M::56::20::70072")
    users = ml_1m.read(ml_1m_files).users(EVERY)
    assert users.iloc[0].tolist() == [1, "female", "under 18", "K-12 student", "48067"]
    assert users.iloc[1].tolist() == [4, "male", "above 56", "writer", "70072"]


def test_ml_1m_item_has_its_title_first_genre_and_all_genres(ml_1m_files: Path) -> None:
    file = ml_1m_files / "movies.dat"
    _spoil(file, 1, lambda _: '5::Café "au" Lait (1993)::Drama|Comedy')
    item = ml_1m.read(ml_1m_files).items(EVERY).iloc[0]
    assert item.tolist() == [5, 'Café "au" Lait (1993)', "Drama", ["Drama", "Comedy"]]


def test_ml_100k_is_read_with_first_genre_in_the_order_of_u_genre(ml_100k_files: Path) -> None:
    raw = ml_100k.read(ml_100k_files)
    assert raw.items(EVERY).iloc[0].tolist() == [
        7,
        "Misérables, Les (1995)",
        "Action",
        ["Action", "Comedy"],
    ]
    [chunk] = raw.interactions()
    assert (chunk.users.to_pylist(), chunk.items.to_pylist()) == ([1, 2], [7, 7])
    assert (chunk.ratings.tolist(), chunk.times.tolist()) == ([3, 5], [881250949, 881250950])


def test_ml_100k_ages_fall_into_the_groups_of_ml_1m(ml_100k_files: Path) -> None:
    ages = [7, 17, 18, 24, 25, 34, 35, 44, 45, 49, 50, 55, 56, 73]
    lines = [f"{number}|{age}|M|writer|00000\n" for number, age in enumerate(ages, start=1)]
    (ml_100k_files / "u.user").write_text("".join(lines))
    groups = ["under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "above 56"]
    expected = [group for group in groups for _ in range(2)]
    assert ml_100k.read(ml_100k_files).users(EVERY)["age"].tolist() == expected


def test_ml_100k_movie_without_genre_is_named(ml_100k_files: Path) -> None:
    file = ml_100k_files / "u.item"
    _spoil(file, 1, lambda line: line.replace("|1", "|0"))
    with pytest.raises(RecloraError, match="no genre flag") as caught:
        ml_100k.read(ml_100k_files)
    assert caught.value.where == f"{file}:1"


_TEXT = st.text(
    st.characters(codec="latin-1", exclude_characters="\n\r\x1f:", exclude_categories=["Cs"]),
    max_size=8,
)


@given(rows=st.lists(st.tuples(st.integers(*ID), _TEXT, _TEXT), min_size=1, max_size=20))
def test_fast_reader_agrees_with_splitting_each_line(
    rows: list[tuple[int, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("read") / "file.dat"
    file.write_bytes("".join(f"{a}::{b}::{c}\n" for a, b, c in rows).encode("latin-1"))
    table = read_delimited(file, "::", (Column("id", ID), Column("first"), Column("second")))
    assert [tuple(row) for row in table.to_numpy().tolist()] == rows
