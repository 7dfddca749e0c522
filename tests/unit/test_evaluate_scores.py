"""Score files: kept by row, reused for subsets, resumed after an interruption."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reclora_cli.data.slices import row_slices
from reclora_cli.errors import RecloraError
from reclora_cli.progress import SILENT
from reclora_cli.scoring import score_files
from reclora_cli.scoring.score_files import rows_hash, score


class Counting:
    """P(yes) is a known function of the row id; counts what it is asked."""

    def __init__(self, identity="a", name="counting"):
        self.name, self.identity = name, identity
        self.asked: list[int] = []

    def score(self, rows, progress=SILENT):
        self.asked += rows.tolist()
        return truth(rows)


def truth(rows):
    return (np.asarray(rows) * 37 % 101) / 100


@pytest.fixture(autouse=True)
def small_calls(monkeypatch):
    monkeypatch.setattr(score_files, "ROWS_AT_A_TIME", 4)


@pytest.fixture
def store(tiny_world):
    return tiny_world.store


def rows_of(store, n=11):
    return np.asarray(store.split("test"))[:n]


def test_scores_are_written_by_row_with_label_and_hash(store, tmp_path):
    rows = rows_of(store)
    found = score(Counting(), store, rows, tmp_path, split="test")
    table = pq.read_table(found.file)
    kinds = dict(zip(table.column_names, map(str, table.schema.types), strict=True))
    assert kinds == {
        "row_id": "int64",
        "label": "uint8",
        "probability": "double",
        "seen_user": "bool",
        "seen_item": "bool",
        "history_length": "int32",
        "popularity_bin": "uint8",
    }
    assert table["row_id"].to_pylist() == rows.tolist()
    assert table["label"].to_pylist() == store.row_label(rows).tolist()
    assert np.array_equal(table["probability"], truth(rows))
    assert found.file.name == f"test-{rows_hash(rows)}.parquet"
    assert rows_hash(rows).encode() in table.schema.metadata[b"reclora"]


def test_scores_carry_what_break_downs_read(store, tmp_path):
    rows = rows_of(store)
    table = pq.read_table(score(Counting(), store, rows, tmp_path, split="test").file)
    slices = row_slices(store, rows)
    for name in score_files.SLICES:
        np.testing.assert_array_equal(table[name], getattr(slices, name))


def test_a_file_of_the_first_format_is_read_and_then_written_anew(store, tmp_path):
    rows = rows_of(store)
    first = score(Counting(), store, rows, tmp_path, split="test")
    table = pq.read_table(first.file)
    told = json.loads(table.schema.metadata[b"reclora"])
    for later in ("format", "store", "popularity_bounds"):
        del told[later]
    old = table.select(["row_id", "label", "probability"])
    pq.write_table(old.replace_schema_metadata({b"reclora": json.dumps(told)}), first.file)
    asked = Counting()
    found = score(asked, store, rows, tmp_path, split="test")
    assert asked.asked == []
    assert np.array_equal(found.probability, first.probability)
    assert pq.read_table(found.file).equals(table)


def test_the_rows_hash_is_of_the_set_of_rows():
    assert rows_hash(np.array([3, 1, 2])) == rows_hash(np.array([1, 2, 3]))
    assert rows_hash(np.array([1, 2])) != rows_hash(np.array([1, 2, 3]))


def test_the_same_rows_are_not_scored_twice(store, tmp_path):
    rows, again = rows_of(store), Counting()
    first = score(Counting(), store, rows, tmp_path, split="test")
    found = score(again, store, rows, tmp_path, split="test")
    assert again.asked == []
    assert found.scored == 0
    assert np.array_equal(found.probability, first.probability)
    assert found.seconds == pytest.approx(first.seconds, abs=2e-3)


def test_a_subset_of_scored_rows_costs_nothing(store, tmp_path):
    score(Counting(), store, rows_of(store), tmp_path, split="test")
    asked, subset = Counting(), rows_of(store)[2:7]
    found = score(asked, store, subset, tmp_path, split="test")
    assert asked.asked == []
    assert np.array_equal(found.probability, truth(subset))
    assert found.file.name == f"test-{rows_hash(subset)}.parquet"


def test_more_rows_score_only_the_new_ones(store, tmp_path):
    score(Counting(), store, rows_of(store)[::2], tmp_path, split="test")
    asked = Counting()
    found = score(asked, store, rows_of(store), tmp_path, split="test")
    assert asked.asked == rows_of(store)[1::2].tolist()
    assert np.array_equal(found.probability, truth(rows_of(store)))


def test_scores_of_another_model_are_not_read(store, tmp_path):
    score(Counting("a"), store, rows_of(store), tmp_path, split="test")
    other = Counting("b")
    assert score(other, store, rows_of(store), tmp_path, split="test").scored == 11
    assert other.asked == rows_of(store).tolist()


def test_force_scores_anew(store, tmp_path):
    score(Counting(), store, rows_of(store), tmp_path, split="test")
    asked = Counting()
    score(asked, store, rows_of(store), tmp_path, split="test", force=True)
    assert asked.asked == rows_of(store).tolist()


@pytest.mark.parametrize("ending", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_scoring_goes_on_after_its_last_call(store, tmp_path, ending):
    class Interrupted(Counting):
        def score(self, rows, progress=SILENT):
            if len(self.asked) == 8:
                raise ending
            return super().score(rows, progress)

    with pytest.raises(ending):
        score(Interrupted(), store, rows_of(store), tmp_path, split="test")
    asked = Counting()
    found = score(asked, store, rows_of(store), tmp_path, split="test")
    assert asked.asked == rows_of(store)[8:].tolist()
    assert np.array_equal(found.probability, truth(rows_of(store)))
    assert [file.name for file in tmp_path.iterdir()] == [found.file.name]


def test_a_killed_scoring_keeps_what_was_flushed(store, tmp_path, monkeypatch):
    monkeypatch.setattr(score_files, "_FLUSH_SECONDS", -1.0)

    class Killed(Counting):
        def score(self, rows, progress=SILENT):
            if len(self.asked) == 8:
                monkeypatch.setattr(score_files._Writing, "flush", lambda *_: None)
                raise SystemExit
            return super().score(rows, progress)

    with pytest.raises(SystemExit):
        score(Killed(), store, rows_of(store), tmp_path, split="test")
    monkeypatch.undo()
    asked = Counting()
    score(asked, store, rows_of(store), tmp_path, split="test")
    assert asked.asked == rows_of(store)[8:].tolist()


def test_a_score_that_is_not_a_number_is_refused_with_its_row(store, tmp_path):
    class Overflown(Counting):
        def score(self, rows, progress=SILENT):
            return np.where(rows == rows_of(store)[5], np.nan, 0.5)

    with pytest.raises(RecloraError, match=f"row {rows_of(store)[5]} a score"):
        score(Overflown(), store, rows_of(store), tmp_path, split="test")


def test_rows_are_counted_once_whether_or_not_the_scorer_counts_them(store, tmp_path):
    class Told:
        def __init__(self):
            self.rows = 0

        def task(self, title, total=None, unit=""):
            return self

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def advance(self, amount=1, **figures):
            self.rows += amount

        def say(self, message):
            pass

        warn = say

    class Reports(Counting):
        def score(self, rows, progress=SILENT):
            with progress.task("inside", total=len(rows), unit="rows") as task:
                task.advance(len(rows))
            with progress.task("tokens", total=999, unit="tokens") as task:
                task.advance(999)
            return super().score(rows, progress)

    for scorer, folder in ((Counting(), "quiet"), (Reports(), "reports")):
        told = Told()
        score(scorer, store, rows_of(store), tmp_path / folder, split="test", progress=told)
        assert told.rows == 11


def test_a_file_that_is_no_score_file_is_passed_over(store, tmp_path):
    (tmp_path / "notes.parquet").write_bytes(b"not parquet")
    assert score(Counting(), store, rows_of(store), tmp_path, split="test").scored == 11


# -- files that were cut, edited or copied -------------------------------------------------------


def edited(file, change, **told):
    """The file written again, with its columns as ``change`` gives them back."""
    table = pq.read_table(file)
    content = json.loads(table.schema.metadata[b"reclora"]) | told
    changed = change({name: table[name].to_pylist() for name in table.column_names})
    again = pa.table(changed).replace_schema_metadata({b"reclora": json.dumps(content)})
    pq.write_table(again, file)


def without_third(columns):
    return {name: values[:2] + values[3:] for name, values in columns.items()}


def third_twice(columns):
    return {name: values[:3] + values[2:] for name, values in columns.items()}


def turned(columns):
    return {name: values[::-1] for name, values in columns.items()}


def third(name, value):
    def change(columns):
        columns[name][2] = value
        return columns

    return change


def lacking(name):
    return lambda columns: {key: values for key, values in columns.items() if key != name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_third, "its 10 rows are not those it names: some are missing"),
        (third_twice, "row {row} stands in it more than once"),
        (turned, "its rows are not in ascending order"),
        (third("probability", float("nan")), "row {row} has no probability as its score"),
        (third("probability", None), "row {row} has no probability as its score"),
        (third("probability", 1.5), "row {row} has no probability as its score"),
        (third("row_id", None), "it has rows without an id"),
        (third("row_id", 0), "row 0 is no test row of ml-1m"),
        (third("row_id", 10**9), "row 1000000000 is no test row of ml-1m"),
        (lacking("probability"), "it has no column probability"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name_and_what_to_do(store, tmp_path, change, said):
    rows = rows_of(store)
    file = score(Counting(), store, rows, tmp_path, split="test").file
    edited(file, change)
    asked = Counting()
    with pytest.raises(RecloraError) as raised:
        score(asked, store, rows, tmp_path, split="test")
    assert said.format(row=rows[2]) in raised.value.what
    assert raised.value.where == str(file)
    assert "Remove the file" in raised.value.hint
    assert asked.asked == []
    file.unlink()
    assert score(asked, store, rows, tmp_path, split="test").scored == 11


def test_labels_that_are_not_the_datasets_are_refused(store, tmp_path):
    file = score(Counting(), store, rows_of(store), tmp_path, split="test").file

    def flipped(columns):
        return columns | {"label": [1 - label for label in columns["label"]]}

    edited(file, flipped)
    with pytest.raises(RecloraError, match="its labels are not those of the dataset"):
        score(Counting(), store, rows_of(store), tmp_path, split="test")


def test_scores_of_another_dataset_are_refused(store, tmp_path):
    file = score(Counting(), store, rows_of(store), tmp_path, split="test").file
    edited(file, dict, store="of-another")
    with pytest.raises(RecloraError, match="scores of another dataset"):
        score(Counting(), store, rows_of(store), tmp_path, split="test")


def test_a_file_cut_off_in_the_middle_of_its_rows_is_refused(store, tmp_path):
    file = score(Counting(), store, rows_of(store), tmp_path, split="test").file
    content = bytearray(file.read_bytes())
    content[4:80] = bytes(76)
    file.write_bytes(content)
    with pytest.raises(RecloraError, match="it cannot be read"):
        score(Counting(), store, rows_of(store), tmp_path, split="test")


def test_forced_scores_read_no_file(store, tmp_path):
    file = score(Counting(), store, rows_of(store), tmp_path, split="test").file
    edited(file, third("probability", float("nan")))
    found = score(Counting(), store, rows_of(store), tmp_path, split="test", force=True)
    assert np.array_equal(found.probability, truth(rows_of(store)))
    assert score(Counting(), store, rows_of(store), tmp_path, split="test").scored == 0


def test_a_damaged_file_of_another_model_does_no_harm(store, tmp_path):
    rows = rows_of(store)
    edited(score(Counting("b"), store, rows[:4], tmp_path, split="test").file, without_third)
    found = score(Counting("a"), store, rows, tmp_path, split="test")
    assert np.array_equal(found.probability, truth(rows))
