"""Scores of candidates on disk: kept, gone on with, refused where they are not what they say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from reclora_cli.data.sequences.rows import Ints
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.errors import RecloraError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.scoring import choice_files
from reclora_cli.scoring.choice_files import Choices, choices, lacking
from tests.sequences_world import prepared


class Stopped(Exception):
    pass


class ByRow:
    """Scores that tell the row and the candidate's place; remembers what it was asked."""

    name = "by row"

    def __init__(self, *, talks: bool = True, identity: str = "one") -> None:
        self.identity, self._talks = identity, talks
        self.asked: list[int] = []
        self.dies_after = 10**9
        self.not_a_number: Sequence[int] = ()

    def choose(
        self, split: str, ids: Ints, progress: Progress = SILENT
    ) -> tuple[NDArray[np.float64], list[str] | None]:
        if len(self.asked) >= self.dies_after:
            raise Stopped
        self.asked += ids.tolist()
        scores = ids[:, None] + np.arange(20) / 100
        scores[np.isin(ids, self.not_a_number)] = np.nan
        return scores, [f"row {row}" for row in ids] if self._talks else None


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SequenceStore:
    recipe, workspace = prepared(tmp_path_factory.mktemp("choices"))
    return SequenceStore(workspace.sequences(recipe.data.source).path)


@pytest.fixture
def asked(store: SequenceStore, tmp_path: Path) -> Any:
    def ask(model: ByRow, rows: Sequence[int] = range(12), **how: Any) -> Choices:
        return choices(model, store, "test", np.array(rows), tmp_path, **how)

    return ask


def rewritten(file: Path, change: Any) -> None:
    """Let ``change`` make other columns and metadata of a file of scores."""
    table = pq.read_table(file)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    told = json.loads(table.schema.metadata[choice_files.METADATA])
    change(columns, told)
    schema = pa.schema(list(table.schema)).with_metadata({choice_files.METADATA: json.dumps(told)})
    pq.write_table(pa.table(columns, schema=schema), file)


def test_rows_come_in_the_order_asked_for(asked: Any) -> None:
    found = asked(ByRow(), [7, 2, 9])
    assert found.scores[:, 0].tolist() == [7, 2, 9]
    assert found.said == ["row 7", "row 2", "row 9"]
    assert found.scored == 3


def test_a_subset_first_leaves_only_the_others_to_be_scored(asked: Any) -> None:
    model = ByRow()
    asked(model, [7, 2, 9])
    whole = asked(model)
    assert whole.scored == 9
    assert sorted(model.asked) == list(range(12))
    assert whole.scores[:, 3].tolist() == [row + 0.03 for row in range(12)]
    assert asked(model).scored == 0


def test_what_would_be_scored_is_known_without_scoring(
    asked: Any, store: SequenceStore, tmp_path: Path
) -> None:
    model = ByRow()
    asked(model, [7, 2])
    assert lacking(model, store, "test", np.array([1, 2, 7]), tmp_path).tolist() == [1]
    assert len(model.asked) == 2


def test_killed_while_scoring_it_goes_on_where_it_was(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice_files, "ROWS_AT_A_TIME", 4)
    model = ByRow()
    model.dies_after = 8
    with pytest.raises(Stopped):
        asked(model)
    again = ByRow()
    found = asked(again)
    assert again.asked == [8, 9, 10, 11]
    assert found.scores[:, 0].tolist() == list(range(12))


def test_force_scores_every_row_anew(asked: Any) -> None:
    model = ByRow()
    asked(model)
    assert asked(model, force=True).scored == 12


def test_scores_of_another_model_are_passed_over(asked: Any) -> None:
    asked(ByRow(identity="one"))
    assert asked(ByRow(identity="two")).scored == 12


def test_a_model_without_words_says_nothing(asked: Any) -> None:
    model = ByRow(talks=False)
    assert asked(model).said is None
    assert asked(model).said is None


def test_a_score_that_is_no_number_names_model_and_row(asked: Any) -> None:
    model = ByRow()
    model.not_a_number = [5]
    with pytest.raises(RecloraError, match="by row gives row 5 a score that is not a number"):
        asked(model)


def _nan(columns: dict[str, list[Any]], told: dict[str, Any]) -> None:
    columns["scores"][3][4] = float("nan")


def _short(columns: dict[str, list[Any]], told: dict[str, Any]) -> None:
    columns["scores"][3] = columns["scores"][3][:-1]


def _doubled(columns: dict[str, list[Any]], told: dict[str, Any]) -> None:
    columns["row_id"][1] = columns["row_id"][0]


def _cut(columns: dict[str, list[Any]], told: dict[str, Any]) -> None:
    for name in columns:
        columns[name] = columns[name][:-1]


def _beyond(columns: dict[str, list[Any]], told: dict[str, Any]) -> None:
    columns["row_id"][-1] = 12


def _half_silent(columns: dict[str, list[Any]], told: dict[str, Any]) -> None:
    columns["said"][2] = None


def _other_candidates(columns: dict[str, list[Any]], told: dict[str, Any]) -> None:
    told["candidates"] = "0" * 64


def _other_split(columns: dict[str, list[Any]], told: dict[str, Any]) -> None:
    told["split"] = "valid"


def _untimed(columns: dict[str, list[Any]], told: dict[str, Any]) -> None:
    del told["seconds"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_nan, "a score that is not a number"),
        (_short, "a row without 20 scores"),
        (_doubled, "12 lines of 11 rows"),
        (_cut, "where 12 were written"),
        (_beyond, "none of the 12 of test"),
        (_half_silent, "rows without one"),
        (_other_candidates, "other candidates than are prepared now"),
        (_other_split, "scores of valid rows"),
        (_untimed, "seconds"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_named_and_not_patched(
    asked: Any, change: Any, said: str
) -> None:
    file = asked(ByRow()).file
    rewritten(file, change)
    kept = file.read_bytes()
    with pytest.raises(RecloraError, match=said) as caught:
        asked(ByRow())
    assert caught.value.where == str(file)
    assert "--force" in str(caught.value.hint)
    assert file.read_bytes() == kept
    assert asked(ByRow(), force=True).scored == 12


def test_a_file_cut_in_half_is_named(asked: Any) -> None:
    file = asked(ByRow()).file
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(RecloraError, match="damaged") as caught:
        asked(ByRow())
    assert caught.value.where == str(file)
