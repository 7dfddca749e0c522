"""``prepare --audit`` on a whole workspace: honest, then with one leak of each kind planted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reclora_cli import recipe
from reclora_cli.data.audit import ranked, reduction, shots
from reclora_cli.data.audit.pasts import OWN
from reclora_cli.errors import CheckError, MissingInputError
from reclora_cli.recipe import from_tree
from reclora_cli.retrieval.pca import Reduction
from reclora_cli.retrieval.ranked import rank_past
from reclora_cli.scoring import score_checks
from reclora_cli.scoring.score_files import rows_hash
from reclora_cli.stages import audit, build_index, evaluate, finetune, prepare, pretrain_crm
from reclora_cli.workspace import Workspace
from tests.tiny_lm import write_tiny_lm
from tests.world import TinyWorld


def varied(recipe, **sections):
    tree = recipe.model_dump(mode="json")
    for section, values in sections.items():
        tree[section] |= values
    return from_tree(tree)


@pytest.fixture(scope="module")
def made(tiny_world, tmp_path_factory) -> TinyWorld:
    """Index, CRM, two runs of one seed, and scores of them all. Read only."""
    folder = tmp_path_factory.mktemp("made")
    root = shutil.copytree(tiny_world.workspace.root, folder / "workspace")
    workspace = Workspace(root)
    lm = {"name": str(write_tiny_lm(folder / "tiny-lm"))}
    recipe = varied(tiny_world.recipe, lm=lm, evaluate={"rows": 12})
    build_index.run(recipe, workspace)
    pretrain_crm.run(recipe, workspace)
    finetune.run(recipe, workspace)
    finetune.run(varied(recipe, adapter={"kind": "lora"}, finetune={"shots": 8}), workspace)
    evaluate.run(recipe, workspace, runs=["reclora-k4-16", "lora-r2-8"], zero_shot=True)
    return TinyWorld(tiny_world.raw, recipe, workspace)


@pytest.fixture
def copied(made, tmp_path) -> TinyWorld:
    """A copy that may be spoilt."""
    root = shutil.copytree(made.workspace.root, tmp_path / "workspace")
    return replace(made, workspace=Workspace(root))


def broken(result: audit.AuditResult) -> set[tuple[str, str]]:
    """(kind of part, name of check) of all that does not hold."""
    return {
        (part.kind, check.name) for part in result.parts for check in part.checks if not check.held
    }


def test_an_honest_workspace_holds_in_every_part(made):
    result = audit.run(made.recipe, made.workspace)
    assert broken(result) == set()
    assert result.held
    assert result.require() is result
    assert [part.kind for part in result.parts] == ["store", "index", "run", "run", *4 * ["scores"]]
    assert result.stale == []
    assert all(check.checked > 0 for part in result.parts for check in part.checks)
    json.dumps(asdict(result))


def test_an_audit_writes_nothing(made):
    root = made.workspace.root
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    audit.run(made.recipe, made.workspace)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


# -- one leak of each kind -------------------------------------------------------------------------


def only(world: TinyWorld, pattern: str) -> Path:
    """The first file of the dataset's folder that ``pattern`` finds."""
    return min(world.workspace.dataset("ml-1m").glob(pattern))


def resave(file: Path, change: Callable[[np.ndarray], np.ndarray | None]) -> None:
    values = np.load(file)
    changed = change(values)
    np.save(file, values if changed is None else changed)


def reach_own_target(world):
    """In a row whose past is long; retrieval from it would find the target itself."""
    file, store = only(world, "store/history_end.npy"), world.store
    start, end = store.history_bounds(np.asarray(store.split("train")))
    row = int(np.argmax(end - start))

    def change(ends):
        ends[row] += 1

    resave(file, change)


def fit_on_every_item(world):
    """PCA, reduced vectors and ranking made over, consistently, from all items."""
    folder, store = only(world, "index/*/ranked.npy").parent, world.store
    vectors = np.load(folder / "vectors.npy")
    pca = Reduction.fit(vectors, np.ones(len(vectors), dtype=bool), 8)
    pca.save(folder)
    reduced = pca.transform(vectors)
    np.save(folder / "reduced.npy", reduced)
    arrays = (store.item, store.user_start, store.row_position, store.history_end)
    np.save(folder / "ranked.npy", rank_past(reduced, *(np.asarray(one) for one in arrays), 8))


def rank_the_future(world):
    def change(positions):
        positions[100, 0] = world.store.row_position[100]

    resave(only(world, "index/*/ranked.npy"), change)


def rank_by_age(world):
    """Positions of the past in plain order: no leak, but not what retrieval is to give."""

    def change(positions):
        row = int(np.argmax((positions >= 0).sum(axis=1)))
        positions[row] = np.sort(positions[row])

    resave(only(world, "index/*/ranked.npy"), change)


def shoot_at_validation(world):
    def change(rows):
        rows[2] = world.store.split("valid").start

    resave(only(world, "runs/*/shots.npy"), change)


def shoot_twice(world):
    def change(rows):
        rows[3] = rows[4]

    resave(only(world, "runs/*/shots.npy"), change)


def draw_other_shots(world):
    train = world.store.split("train")
    resave(
        only(world, "runs/*/shots.npy"),
        lambda rows: np.random.default_rng(99).permutation(len(train))[: len(rows)],
    )


def lose_a_shot(world):
    resave(only(world, "runs/*/shots.npy"), lambda rows: rows[:-1])


def rewrite(file: Path, change: Callable[[dict[str, np.ndarray], dict], None]) -> None:
    """A score file with its columns and what it tells changed."""
    table = pq.read_table(file)
    told = json.loads(table.schema.metadata[b"reclora"])
    columns = {name: table[name].to_numpy().copy() for name in table.column_names}
    change(columns, told)
    again = pa.table(columns).replace_schema_metadata({b"reclora": json.dumps(told)})
    pq.write_table(again, file)


def score_file(world: TinyWorld) -> Path:
    return only(world, "crm/*/scores/*.parquet")


def flip_a_scored_label(world):
    def change(columns, _):
        columns["label"][3] ^= 1

    rewrite(score_file(world), change)


def score_a_training_row(world):
    def change(columns, told):
        rows = columns["row_id"]
        rows[0] = 0
        columns["label"][0] = world.store.row_label(np.array([0]))[0]
        slices = score_checks.row_slices(world.store, rows[:1])
        for name in score_checks.SLICES:
            columns[name][:1] = getattr(slices, name)
        told["rows_hash"] = rows_hash(rows)

    file = score_file(world)
    rewrite(file, change)
    told = json.loads(pq.read_schema(file).metadata[b"reclora"])
    file.rename(file.with_name(f"test-{told['rows_hash']}.parquet"))


def score_a_row_twice(world):
    def change(columns, _):
        for values in columns.values():
            values[5] = values[4]

    rewrite(score_file(world), change)


def swap_a_scored_row(world):
    """Another row of the split, rightly labelled: not the rows that the name tells."""

    def change(columns, _):
        rows, test = columns["row_id"], world.store.split("test")
        free = np.setdiff1d(np.arange(rows[-2] + 1, test.stop), rows)
        rows[-1] = free[-1]
        columns["label"][-1] = world.store.row_label(rows[-1:])[0]
        slices = score_checks.row_slices(world.store, rows[-1:])
        for name in score_checks.SLICES:
            columns[name][-1:] = getattr(slices, name)

    rewrite(score_file(world), change)


def score_beyond_one(world):
    def change(columns, _):
        columns["probability"][2] = 1.5

    rewrite(score_file(world), change)


def claim_a_user_was_seen(world):
    def change(columns, _):
        columns["seen_user"][1] ^= True

    rewrite(score_file(world), change)


def damage_a_score_file(world):
    file = score_file(world)
    content = bytearray(file.read_bytes())
    content[4:40] = bytes(36)
    file.write_bytes(content)


def lose_the_ranking(world):
    only(world, "index/*/ranked.npy").unlink()


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (reach_own_target, {("store", OWN), ("index", ranked.BEST)}),
        (fit_on_every_item, {("index", reduction.MEAN), ("index", reduction.AXES)}),
        (rank_the_future, {("index", ranked.PAST)}),
        (rank_by_age, {("index", ranked.BEST)}),
        (shoot_at_validation, {("run", shots.TRAINING), ("run", shots.SAMPLE)}),
        (shoot_twice, {("run", shots.TWICE), ("run", shots.SAMPLE)}),
        (draw_other_shots, {("run", shots.SAMPLE)}),
        (lose_a_shot, {("run", shots.SAMPLE)}),
        (flip_a_scored_label, {("scores", score_checks.LABEL)}),
        (score_a_training_row, {("scores", score_checks.SPLIT)}),
        (score_a_row_twice, {("scores", score_checks.ONCE)}),
        (swap_a_scored_row, {("scores", score_checks.HASH)}),
        (score_beyond_one, {("scores", score_checks.NUMBER)}),
        (claim_a_user_was_seen, {("scores", score_checks.SLICE)}),
        (damage_a_score_file, {("scores", score_checks.READABLE)}),
        (lose_the_ranking, {("index", audit.READABLE)}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_leak_is_named_and_nothing_else(copied, plant, found):
    plant(copied)
    result = audit.run(copied.recipe, copied.workspace)
    assert broken(result) == found
    with pytest.raises(CheckError) as caught:
        result.require()
    assert caught.value.exit_code == 4
    assert all(name in caught.value.what for _, name in found)


def test_every_broken_part_is_named(copied):
    for plant in (reach_own_target, shoot_twice, flip_a_scored_label):
        plant(copied)
    kinds = {kind for kind, _ in broken(audit.run(copied.recipe, copied.workspace))}
    assert kinds == {"store", "index", "run", "scores"}


def test_a_store_that_cannot_be_read_by_its_header_ends_the_audit(copied):
    resave(only(copied, "store/item.npy"), lambda items: items[:-1])
    result = audit.run(copied.recipe, copied.workspace)
    assert [part.kind for part in result.parts] == ["store"]
    assert not result.held
    assert "item is (" in result.complaint


# -- what is not looked at -------------------------------------------------------------------------


def test_what_was_made_from_another_store_is_named_and_not_compared(copied):
    prepare.run(copied.recipe, copied.workspace, given=copied.raw, force=True)
    result = audit.run(copied.recipe, copied.workspace)
    assert result.held
    assert [part.kind for part in result.parts] == ["store"]
    told = {(one.kind, one.why) for one in result.stale}
    assert told == {
        ("index", "made from another store"),
        ("runs", "made from another store"),
        ("scores", "of another store"),
    }


def test_an_unfinished_run_is_named(copied):
    only(copied, "runs/*/manifest.json").unlink()
    result = audit.run(copied.recipe, copied.workspace)
    assert [(one.kind, one.why) for one in result.stale] == [("runs", "unfinished")]


def test_an_index_that_ranks_when_asked_is_audited_by_ranking_now(made, tmp_path):
    root = shutil.copytree(
        made.workspace.dataset("ml-1m") / "store", tmp_path / "datasets/ml-1m/store"
    )
    workspace = Workspace(root.parents[2])
    recipe = varied(made.recipe, retriever={"rows": "needed"})
    build_index.run(recipe, workspace)
    result = audit.run(recipe, workspace)
    [index] = [part for part in result.parts if part.kind == "index"]
    assert index.held
    assert {ranked.PAST, ranked.BEST} <= {check.name for check in index.checks}


def test_nothing_prepared_is_a_missing_input(made, tmp_path):
    with pytest.raises(MissingInputError, match="prepared dataset"):
        audit.run(made.recipe, Workspace(tmp_path / "empty"))


# -- ties ------------------------------------------------------------------------------------------


def test_ties_are_counted_as_the_two_settings_make_histories(made, tmp_path):
    store = made.store
    found = audit.run(made.recipe, made.workspace).ties
    other = Workspace(tmp_path / "workspace")
    prepare.run(varied(made.recipe, data={"ties": "exclude"}), other, given=made.raw)
    without = TinyWorld(made.raw, made.recipe, other).store
    for one in found:
        rows = np.asarray(store.split(one.split))
        past, shorter = (
            end - start for start, end in (of.history_bounds(rows) for of in (store, without))
        )
        assert (one.rows, one.tied) == (len(rows), int((shorter < past).sum()))
        assert one.lost == int((past - shorter).sum())
        assert one.mean_history == round(float(past.mean()), 4)
        assert one.mean_without == round(float(shorter.mean()), 4)
    assert sum(one.tied for one in found) > 0
    assert audit.run(made.recipe, other).ties == found


def test_real_ml_100k_holds_and_half_of_its_rows_have_ties(real_data, tmp_path):
    loaded = recipe.load("ml-100k")
    workspace = Workspace(tmp_path)
    prepare.run(loaded, workspace, given=real_data / "ml-100k")
    result = audit.run(loaded, workspace)
    assert result.held
    assert [(one.rows, one.tied, one.lost) for one in result.ties] == [
        (76_228, 38_875, 77_922),
        (9_528, 4_850, 9_679),
        (9_529, 4_963, 10_740),
    ]
