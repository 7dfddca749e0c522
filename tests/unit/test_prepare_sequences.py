"""prepare, for the task next: the store, its audit, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from reclora_cli import recipe
from reclora_cli.data.sequences.audit import audit
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.stages import by_task, locate, prepare_sequences
from reclora_cli.workspace import Workspace, hash_file
from tests.sequences_world import ARTISTS, prepared, small_recipe, write_llara
from tests.world import TinyWorld


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[recipe.Recipe, Workspace]:
    """The tiny sequences. Read them only."""
    return prepared(tmp_path_factory.mktemp("sequences"))


def store_of(world: tuple[recipe.Recipe, Workspace], to: Path) -> SequenceStore:
    """A copy that a test may change."""
    folder = shutil.copytree(locate.store(*world).path, to / "sequences")
    return SequenceStore(folder)


# -- the task ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fingerprints"),
    [
        ("base", ("5ab67bc00cc5", "ae8e7b79952a", "82246fab07d2", "c01d3b5b353c")),
        ("ml-1m", ("5ab67bc00cc5", "ae8e7b79952a", "1e6c6a10a6d7", "374b1ae11369")),
        ("ml-100k", ("15f50194ce6a", "ae8e7b79952a", "0cb7b186be8d", "735666a5ec61")),
    ],
)
def test_names_of_the_task_rate_are_what_they_were_before_there_was_another(
    name: str, fingerprints: tuple[str, ...]
) -> None:
    loaded = recipe.load(name, values={"next.history": 7})
    stages = ("prepare", "build-index", "pretrain-crm", "finetune")
    assert tuple(locate.fingerprint_of(stage, loaded)[:12] for stage in stages) == fingerprints


def test_what_stops_an_encoder_is_no_reason_to_prepare_anew() -> None:
    one, other = (small_recipe(**{"next.stop_on": figure}) for figure in ("mrr", "ndcg@5"))
    assert locate.fingerprint_of("prepare", one) == locate.fingerprint_of("prepare", other)
    assert locate.fingerprint_of("pretrain-crm", one) != locate.fingerprint_of(
        "pretrain-crm", other
    )


# -- the store --------------------------------------------------------------------------------


def test_candidates_hold_the_truth_where_the_store_says(world) -> None:
    store = SequenceStore(locate.store(*world).path)
    for split in ("valid", "test"):
        found = np.take_along_axis(store.candidates(split), store.truth(split)[:, None], axis=1)
        assert (found[:, 0] == store.split(split).target).all()


def test_a_second_workspace_holds_the_same_candidates(world, tmp_path: Path) -> None:
    again, other = prepared(tmp_path, seed=5)
    ours, theirs = (SequenceStore(locate.store(*of).path).header for of in (world, (again, other)))
    assert ours == theirs


def test_another_draw_changes_candidates_and_nothing_else(world, tmp_path: Path) -> None:
    ours = SequenceStore(locate.store(*world).path)
    theirs = SequenceStore(locate.store(*prepared(tmp_path, **{"next.draw": 1})).path)
    assert (ours.candidates("test") != theirs.candidates("test")).any()
    assert (ours.split("test").history == theirs.split("test").history).all()
    assert ours.header.identity != theirs.header.identity


def test_candidates_of_another_store_are_refused(world, tmp_path: Path) -> None:
    folder = store_of(world, tmp_path).folder
    foreign = np.load(folder / "test_candidates.npy")
    np.save(folder / "test_candidates.npy", foreign[::-1])
    with pytest.raises(RecloraError, match="not the candidates that were drawn for lastfm"):
        SequenceStore(folder)


def test_a_cut_file_and_a_header_of_nonsense_are_told(world, tmp_path: Path) -> None:
    folder = store_of(world, tmp_path).folder
    np.save(folder / "valid_target.npy", np.load(folder / "valid_target.npy")[:-1])
    with pytest.raises(RecloraError, match=r"valid_target\.npy holds 11 rows, the header 12"):
        SequenceStore(folder)
    (folder / "sequences.json").write_text("[]")
    with pytest.raises(RecloraError, match="damaged"):
        SequenceStore(folder)


def test_names_that_items_share_are_counted(tmp_path: Path) -> None:
    given = write_llara(tmp_path / "given")
    names = given / "lastfm" / "id2name.txt"
    names.write_text(names.read_text().replace("Artist 7\n", "artist 9 \n"))
    result = prepare_sequences.run(small_recipe(), Workspace(tmp_path / "w"), given=given)
    assert result.shared_names == 2
    assert result.items == ARTISTS


# -- the audit --------------------------------------------------------------------------------


def corrupted(store: SequenceStore, split: str, change) -> list[str]:
    """Names of the checks that broke after ``change`` of a split's candidates."""
    candidates = np.array(store.candidates(split))
    change(candidates, store.split(split))
    store._candidates[split] = candidates
    return [check.name for check in audit(store).checks if not check.held]


def test_a_sound_store_passes_every_check(world) -> None:
    assert audit(SequenceStore(locate.store(*world).path)).held


def test_the_audit_finds_a_truth_that_is_missing(world, tmp_path: Path) -> None:
    def swap(candidates, rows):
        at = candidates[2].tolist().index(rows.target[2])
        left = set(range(ARTISTS)) - {*candidates[2]} - {*rows.history[2]}
        candidates[2, at] = left.pop()

    broken = corrupted(store_of(world, tmp_path), "test", swap)
    assert broken == ["the target of each test row is among its candidates once"]


def test_the_audit_finds_a_candidate_of_the_past(world, tmp_path: Path) -> None:
    def leak(candidates, rows):
        at = 0 if candidates[0, 0] != rows.target[0] else 1
        candidates[0, at] = rows.history[0, 0]

    broken = corrupted(store_of(world, tmp_path), "valid", leak)
    assert broken == ["no other candidate of a valid row is in its user's known past"]


def test_the_audit_finds_a_candidate_that_stands_twice(world, tmp_path: Path) -> None:
    def double(candidates, rows):
        others = [at for at in range(20) if candidates[0, at] != rows.target[0]]
        candidates[0, others[0]] = candidates[0, others[1]]

    broken = corrupted(store_of(world, tmp_path), "valid", double)
    assert broken == ["candidates of each valid row are known items, each once"]


def test_the_audit_finds_padding_inside_a_history(world, tmp_path: Path) -> None:
    store = store_of(world, tmp_path)
    history = np.load(store.folder / "train_history.npy")
    history[5, 0] = -1
    np.save(store.folder / "train_history.npy", history)
    broken = [check for check in audit(SequenceStore(store.folder)).checks if not check.held]
    assert [check.detail for check in broken] == ["1 broken, first row 5"]


# -- the stage --------------------------------------------------------------------------------


def test_what_is_prepared_is_told_again_without_the_files(world) -> None:
    again = by_task.prepare(*world)
    assert again.up_to_date
    assert again.test == 12


def test_files_that_are_not_given_are_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="are not fetched") as told:
        prepare_sequences.run(small_recipe(), Workspace(tmp_path))
    assert "reclora prepare lastfm --from FOLDER" in str(told.value)


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    given = write_llara(tmp_path / "given")
    result = prepare_sequences.run(
        small_recipe(), Workspace(tmp_path / "w"), given=given, dry_run=True
    )
    assert result.dry_run
    assert result.train == 240
    assert not (tmp_path / "w").exists()


def test_a_dry_run_makes_no_interactions_to_read(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="are not prepared") as told:
        prepare_sequences.run(recipe.load("ml-1m-next"), Workspace(tmp_path / "w"), dry_run=True)
    assert "reclora prepare ml-1m" in str(told.value)
    assert not (tmp_path / "w").exists()


def test_other_files_are_prepared_anew(tmp_path: Path) -> None:
    small, workspace = prepared(tmp_path)
    names = tmp_path / "given" / "lastfm" / "id2name.txt"
    names.write_text(names.read_text().replace("Artist 7\n", "Seven\n"))
    again = prepare_sequences.run(small, workspace, given=tmp_path / "given")
    assert not again.up_to_date
    assert SequenceStore(locate.store(small, workspace).path).items["title"][7] == "Seven"


def test_too_few_items_for_the_candidates_are_told(tmp_path: Path) -> None:
    with pytest.raises(RecloraError, match="to draw 59 candidates"):
        prepared(tmp_path, **{"next.candidates": 60})
    assert not (tmp_path / "workspace" / "datasets" / "lastfm" / "sequences").exists()


def test_any_prepared_dataset_becomes_sequences_in_order_of_time(tiny_copy: TinyWorld) -> None:
    values = {"task": "next", "next.candidates": 5, "next.history": 4}
    own = recipe.from_tree(
        json.loads(tiny_copy.recipe.model_dump_json())
        | {"task": "next"}
        | {"next": {**tiny_copy.recipe.next.model_dump(), "candidates": 5, "history": 4}}
    )
    assert own.task == values["task"]
    result = by_task.prepare(own, tiny_copy.workspace)
    assert all(check["held"] for check in result.audit)
    assert "no validation target comes before a training one" in result.audit[-1]["name"]
    assert result.files == {"interactions": tiny_copy.workspace.store("ml-1m").identity()}
    assert tiny_copy.workspace.datasets() == ["ml-1m"]
    assert by_task.audit(own, tiny_copy.workspace).held


def test_an_audit_of_prepared_interactions_knows_more_than_the_history(
    tiny_copy: TinyWorld,
) -> None:
    own = recipe.from_tree(
        json.loads(tiny_copy.recipe.model_dump_json())
        | {"task": "next"}
        | {"next": {**tiny_copy.recipe.next.model_dump(), "candidates": 5, "history": 2}}
        | {"seed": 3}
    )
    by_task.prepare(own, tiny_copy.workspace)
    folder = locate.store(own, tiny_copy.workspace).path
    store, behaviours = SequenceStore(folder), tiny_copy.store
    rows, candidates = store.split("test"), np.array(store.candidates("test"))
    first = int(behaviours.item[behaviours.user_start[rows.user[0]]])
    assert first not in {*rows.history[0]} | {*candidates[0]}
    candidates[0, int(candidates[0, 0] == rows.target[0])] = first
    np.save(folder / "test_candidates.npy", candidates)
    header = json.loads((folder / "sequences.json").read_text())
    header["candidates_sha256"]["test"] = hash_file(folder / "test_candidates.npy")
    (folder / "sequences.json").write_text(json.dumps(header))
    assert audit(SequenceStore(folder)).held
    assert "no other candidate of a test row" in by_task.audit(own, tiny_copy.workspace).complaint
