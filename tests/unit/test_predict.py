"""Predictions of a file of pairs: those that evaluate gives, in order, resumed bit for bit."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from reclora_cli import recipe as recipes
from reclora_cli.data.histories import NOW
from reclora_cli.data.pairs import PairsFile
from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.scoring.kept_scores import whole_file
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import predict, runs
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.pair_scorer import PairScorer
from reclora_cli.stages.predict import PredictResult
from reclora_cli.workspace import Workspace, explain_os_errors
from tests.cli.conftest import clean_environment, command_line
from tests.evaluated_runs import GATED, PLAIN, folder
from tests.world import TinyWorld, movie_id, user_id

STRANGER = "unknown user, read as unseen without behaviours"


def written(file: Path, lines: list[list[Any]], header: tuple[str, ...] = ("user", "item")) -> Path:
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([header, *lines])
    return file


def predicted(world: TinyWorld, file: Path, output: Path, **how: Any) -> PredictResult:
    return predict.run(
        world.recipe, world.workspace, input=file, output=output, device="cpu", **how
    )


def rows_of(world: TinyWorld, rows: np.ndarray) -> list[list[Any]]:
    """User and item of stored rows as the dataset writes them."""
    store = world.store
    users = store.users["user_id"].to_numpy()[store.row_user(rows)]
    items = store.items["item_id"].to_numpy()[store.row_item(rows)]
    return [[int(user), int(item)] for user, item in zip(users, items, strict=True)]


@pytest.mark.parametrize("beginning", [GATED, PLAIN])
def test_stored_rows_get_the_scores_that_evaluate_keeps(
    tuned: TinyWorld, evaluated: Workspace, tmp_path: Path, beginning: str
) -> None:
    run = folder(evaluated, beginning)
    [kept] = (run / "scores").glob("*.parquet")
    rows, expected = whole_file(kept, tuned.store)
    file = written(tmp_path / "pairs.csv", rows_of(tuned, rows))
    world = TinyWorld(tuned.raw, tuned.recipe, evaluated)
    result = predicted(world, file, tmp_path / "scores.parquet", run=run.name)
    found = pq.read_table(result.output).to_pandas()
    np.testing.assert_allclose(found["probability"], expected, atol=1e-5)
    assert result.rows == result.scored == len(rows)


def test_a_time_bounds_what_is_read(tuned: TinyWorld) -> None:
    store = tuned.store
    start, end = (int(at) for at in store.user_start[2:4])
    times = store.time[start:end]
    asked = Questions.of_pairs(
        store,
        np.array([2, 2, 2]),
        np.array([0, 0, 0]),
        np.array([times[6], times[-1] + 1, 0]),
    )
    assert asked.ends.tolist() == [start + int((times < times[6]).sum()), end, start]
    item = int(store.item[start + 5])
    now = Questions.of_pairs(store, np.array([2]), np.array([item]), np.array([NOW]))
    assert now.ends.tolist() == [start + 5]


def test_the_order_is_the_input_s_and_each_line_says_what_it_met(
    tuned: TinyWorld, tmp_path: Path
) -> None:
    store = tuned.store
    title = str(store.items["title"].iloc[4])
    unseen = int(store.users["user_id"].iloc[np.flatnonzero(~store.seen_users)[0]])
    seen = int(store.users["user_id"].iloc[np.flatnonzero(store.seen_users)[0]])
    rated = int(store.items["item_id"].iloc[store.item[store.user_start[0] + 3]])
    lines = [
        [unseen, movie_id(3), ""],
        ["nobody", title, ""],
        [seen, "no such film", ""],
        ["nobody", "no such film", ""],
        [seen, rated, ""],
        [seen, movie_id(3), 1],
    ]
    file = written(tmp_path / "pairs.csv", lines, ("user", "item", "time"))
    result = predicted(tuned, file, tmp_path / "scores.csv", run=GATED)
    with (tmp_path / "scores.csv").open() as opened:
        found = list(csv.DictReader(opened))
    assert [[one["user"], one["item"]] for one in found] == [[str(u), str(i)] for u, i, _ in lines]
    assert [bool(one["probability"]) for one in found] == [True, True, False, False, True, True]
    notes = [one["note"].split("; ") for one in found]
    assert "user unseen in training" in notes[0]
    assert STRANGER in notes[1]
    assert notes[2] == ["unknown item, no score"]
    assert set(notes[3]) == {STRANGER, "unknown item, no score"}
    assert "rated by the user, asked as it stood before" in notes[4]
    assert "no behaviours before" in notes[5]
    assert result.without_score == 2
    assert result.notes[STRANGER] == 2


def test_all_strangers_get_one_score(tuned: TinyWorld, tmp_path: Path) -> None:
    """The prompt says nothing of a user without behaviours, and the CRM reads no field it knows."""
    file = written(tmp_path / "pairs.csv", [["x", movie_id(1)], ["y", movie_id(1)]])
    predicted(tuned, file, tmp_path / "scores.parquet", run=GATED)
    found = pq.read_table(tmp_path / "scores.parquet").to_pandas()["probability"]
    assert np.isfinite(found).all()
    assert found[0] == found[1]


def test_the_crm_scores_alone(tuned: TinyWorld, tmp_path: Path) -> None:
    rows = np.asarray(tuned.store.split("test"))
    file = written(tmp_path / "pairs.csv", rows_of(tuned, rows))
    result = predicted(tuned, file, tmp_path / "scores.parquet", crm=True)
    found = pq.read_table(result.output).to_pandas()["probability"]
    crm = Sources(tuned.recipe, tuned.workspace, predict.devices.pick("cpu")).crm
    np.testing.assert_allclose(found, crm.score(rows), atol=1e-6)
    assert result.kind == "crm"


class StoppedError(Exception):
    """Stands for a kill between two blocks."""


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_stopped_and_repeated_it_writes_the_same_bytes(
    tuned: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setitem(predict.LM_BLOCK, "cpu", 5)
    lines = [["x", movie_id(1)], *rows_of(tuned, np.arange(200, 216))]
    file = written(tmp_path / "pairs.csv", lines)
    whole, halved = (tmp_path / f"{name}.{ending}" for name in ("whole", "halved"))
    predicted(tuned, file, whole, run=GATED)
    score, asked = PairScorer.score, []

    def stopping(self: PairScorer, *given: Any) -> Any:
        asked.append(given)
        if len(asked) == 3:
            raise StoppedError
        return score(self, *given)

    monkeypatch.setattr(PairScorer, "score", stopping)
    with pytest.raises(StoppedError):
        predicted(tuned, file, halved, run=GATED)
    assert not halved.exists()
    result = predicted(tuned, file, halved, run=GATED)
    assert (result.kept, result.scored) == (10, 7)
    assert halved.read_bytes() == whole.read_bytes()
    assert {found.name for found in tmp_path.iterdir()} == {"pairs.csv", whole.name, halved.name}


def test_killed_by_the_system_it_loses_a_block_at_most(tuned: TinyWorld, tmp_path: Path) -> None:
    file = written(tmp_path / "pairs.csv", rows_of(tuned, np.arange(len(tuned.store))))
    mine = tmp_path / "mine.yaml"
    mine.write_text(recipes.to_yaml(tuned.recipe))
    name = runs.choose(tuned.workspace, "ml-1m", GATED).name
    output, partial = tmp_path / "scores.parquet", tmp_path / "scores.parquet.partial"
    arguments = ["predict", "--input", file, "--output", output, "--run", name, "--device", "cpu"]
    placed = ["--recipe", mine, "-w", tuned.workspace.root, "--json"]
    process = subprocess.Popen(
        command_line([*arguments, *placed]), env=clean_environment(), stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not partial.exists() or partial.stat().st_size < 2_000:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not output.exists()
    result = predicted(tuned, file, output, run=GATED)
    assert result.kept >= 128
    predicted(tuned, file, tmp_path / "at-once.parquet", run=GATED)
    assert output.read_bytes() == (tmp_path / "at-once.parquet").read_bytes()


def test_scores_of_another_input_are_begun_anew(
    tuned: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PairScorer, "score", _broken(PairScorer.score))
    file = written(tmp_path / "pairs.csv", rows_of(tuned, np.arange(70)))
    with pytest.raises(StoppedError):
        predicted(tuned, file, tmp_path / "scores.csv", run=GATED)
    monkeypatch.undo()
    written(file, rows_of(tuned, np.arange(1, 71)))
    result = predicted(tuned, file, tmp_path / "scores.csv", run=GATED)
    assert (result.kept, result.scored) == (0, 70)


def _broken(score: Callable[..., Any]) -> Callable[..., Any]:
    asked = []

    def stopping(self: PairScorer, *given: Any) -> Any:
        asked.append(given)
        if len(asked) == 2:
            raise StoppedError
        return score(self, *given)

    return stopping


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_pairs_are_the_same_of_any_kind_of_file(
    tiny_world: TinyWorld, tmp_path: Path, kind: str
) -> None:
    table = pd.DataFrame(
        {
            "time": [978307200, 978307201, 978307202],
            "item": [movie_id(1), movie_id(2), 999],
            "other": ["a", "b", "c"],
            "user": [user_id(1), 77777, user_id(3)],
        }
    )
    file = tmp_path / f"pairs.{kind}"
    if kind == "csv":
        table.to_csv(file, index=False)
    elif kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in table.to_dict("records")))
    else:
        pq.write_table(pa.Table.from_pandas(table), file)
    store = tiny_world.store
    [first, second] = PairsFile(file, store).blocks(2)
    ids = store.items["item_id"].tolist()
    users = store.users["user_id"].tolist()
    assert first.users.tolist() == [users.index(user_id(1)), -1]
    assert first.items.tolist() == [ids.index(movie_id(1)), ids.index(movie_id(2))]
    assert (second.users.tolist(), second.items.tolist()) == ([users.index(user_id(3))], [-1])
    assert [*first.times.tolist(), *second.times.tolist()] == table["time"].tolist()
    assert len(list(PairsFile(file, store).blocks(2, first=1))) == 1


@pytest.mark.parametrize(
    ("lines", "words", "line"),
    [
        (["person,item", "1,2"], "no column 'user'; found: person, item", None),
        (["user,item,user", "1,5,2"], "the column 'user' stands there twice", None),
        (["user,item", "1,5", ",5"], "user is empty", 3),
        (["user,item", "1,5", "1,5,9"], "", 3),
        (["user,item,time", "1,5,2001-01-01", "1,5,soon"], "a time as in ISO 8601", 3),
        (["user,item,time", "1,5,978307200", "1,5,soon"], "a number", 3),
    ],
)
def test_input_that_does_not_fit_is_named_before_anything_is_scored(
    tuned: TinyWorld, tmp_path: Path, lines: list[str], words: str, line: int | None
) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(RecloraError) as raised:
        predicted(tuned, file, tmp_path / "scores.csv", run=GATED)
    assert words in str(raised.value)
    assert raised.value.where == (f"{file}:{line}" if line else str(file))
    assert [found.name for found in tmp_path.iterdir()] == ["pairs.csv"]


def test_json_that_mixes_ids_and_titles_is_told(tiny_world: TinyWorld, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"user": 1, "item": 5}\n{"user": 1, "item": "Heat"}\n')
    with pytest.raises(RecloraError, match="'item' holds text and whole values"):
        list(PairsFile(file, tiny_world.store).blocks(2))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('{"user": 1, "item": 5}\n{"user": "1", "item": "Heat"}\n', "One JSON object a line"),
        ('[{"user": 1, "item": 5}]\n', "One JSON object a line"),
        ('{"user": 1, "item": 5}\n{"user": 1, "item": "Heat"}\n', "as text, in quotes"),
    ],
)
def test_json_that_cannot_be_read_as_columns_is_told_with_the_way_out(
    tiny_world: TinyWorld, tmp_path: Path, lines: str, words: str
) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(lines)
    with pytest.raises(RecloraError) as raised:
        list(PairsFile(file, tiny_world.store).blocks(2))
    assert words in (raised.value.hint or "")


def test_a_column_of_lists_is_not_told_to_be_missing(tiny_world: TinyWorld, tmp_path: Path) -> None:
    file = tmp_path / "pairs.parquet"
    pq.write_table(pa.table({"user": [1], "item": [[5]]}), file)
    with pytest.raises(RecloraError, match="'item' holds neither text nor numbers"):
        PairsFile(file, tiny_world.store)


def test_a_pipe_is_told_from_a_file_that_is_not_there(
    tiny_world: TinyWorld, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pairs.csv")
    with pytest.raises(UsageError, match="a pipe or a device"):
        PairsFile(tmp_path / "pairs.csv", tiny_world.store)


@pytest.mark.parametrize(
    ("line", "words"), [("99999,5", "unknown user '99999'"), ("1,Heet", "unknown movie 'Heet'")]
)
def test_strict_makes_the_unknown_an_error(
    tuned: TinyWorld, tmp_path: Path, line: str, words: str
) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(f"user,item\n1,5\n{line}\n")
    with pytest.raises(UsageError) as raised:
        predicted(tuned, file, tmp_path / "scores.csv", run=GATED, strict=True)
    assert words in str(raised.value)
    assert raised.value.where == f"{file}:3"


def test_a_file_that_is_there_is_kept_unless_forced(tuned: TinyWorld, tmp_path: Path) -> None:
    file = written(tmp_path / "pairs.csv", [[1, 5]])
    output = tmp_path / "scores.csv"
    output.write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        predicted(tuned, file, output, crm=True)
    with pytest.raises(UsageError, match="the input itself"):
        predicted(tuned, file, file, crm=True, force=True)
    with pytest.raises(UsageError, match="no format of scores"):
        predicted(tuned, file, tmp_path / "scores.txt", crm=True)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="a folder, and a file is wanted"):
        predicted(tuned, file, tmp_path / "folder.csv", crm=True, force=True)
    assert output.read_text() == "mine"
    predicted(tuned, file, output, crm=True, force=True)
    assert output.read_text().startswith("user,item,probability,note\n1,5,0.")


def test_an_output_that_another_process_finished_meanwhile_is_kept(
    tuned: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, output = written(tmp_path / "pairs.csv", [[1, 5]]), tmp_path / "scores.csv"
    checked = predict._checked

    def slowly(*given: Any, **how: Any) -> int:
        output.write_text("theirs")
        return checked(*given, **how)

    monkeypatch.setattr(predict, "_checked", slowly)
    with pytest.raises(UsageError, match="there already"):
        predicted(tuned, file, output, crm=True)
    assert output.read_text() == "theirs"


def test_one_process_at_a_time_writes_an_output_and_no_lock_is_left(
    tuned: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, output = written(tmp_path / "pairs.csv", [[1, 5]]), tmp_path / "scores.csv"
    score = PairScorer.score

    def meanwhile(self: PairScorer, *given: Any) -> Any:
        with pytest.raises(RecloraError, match="another reclora is writing this output"):
            predicted(tuned, file, output, crm=True)
        return score(self, *given)

    monkeypatch.setattr(PairScorer, "score", meanwhile)
    predicted(tuned, file, output, crm=True)
    assert {found.name for found in tmp_path.iterdir()} == {"pairs.csv", "scores.csv"}


def test_the_lock_is_taken_away_while_it_is_held(tmp_path: Path) -> None:
    """Removed after release, it could be another's who holds it by then."""
    lock = FileLock(tmp_path / "x.partial.lock")
    released: list[bool] = []
    with pytest.MonkeyPatch.context() as patched:
        release = FileLock.release
        patched.setattr(
            FileLock,
            "release",
            lambda self, *given: (
                released.append(Path(lock.lock_file).exists()),
                release(self, *given),
            ),
        )
        with predict._alone(tmp_path / "x.partial"):
            assert Path(lock.lock_file).exists()
    assert released[0] is False


def test_what_cannot_be_written_names_the_option_of_the_output(tmp_path: Path) -> None:
    with (
        pytest.raises(RecloraError) as raised,
        explain_os_errors(tmp_path, "--output"),
    ):
        raise PermissionError(errno.EACCES, "denied", str(tmp_path))
    assert raised.value.hint == "Choose another folder with --output."
