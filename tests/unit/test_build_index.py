"""build-index on the tiny world with a tiny LM: files, resume, reuse, up to date, ``similar``."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.recipe import Recipe, from_tree
from reclora_cli.retrieval import ranked, ranked_file
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import build_index, item_vectors, locate
from reclora_cli.stages.assemble import Sources
from reclora_cli.workspace import Workspace
from tests.tiny_lm import write_tiny_lm
from tests.world import TinyWorld


@pytest.fixture(scope="module")
def lm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_lm(tmp_path_factory.mktemp("lm") / "tiny")


def with_values(recipe: Recipe, values: dict[str, object]) -> Recipe:
    tree = recipe.model_dump(mode="json")
    for path, value in values.items():
        section, key = path.split(".")
        tree[section][key] = value
    return from_tree(tree)


@pytest.fixture
def world(tiny_copy: TinyWorld, lm_folder: Path) -> TinyWorld:
    recipe = with_values(tiny_copy.recipe, {"lm.name": str(lm_folder)})
    return replace(tiny_copy, recipe=recipe)


@pytest.fixture(scope="module")
def built(tiny_world: TinyWorld, lm_folder: Path, tmp_path_factory) -> TinyWorld:
    """A tiny world with an index; read only."""
    root = shutil.copytree(
        tiny_world.workspace.root, tmp_path_factory.mktemp("built") / "workspace"
    )
    recipe = with_values(tiny_world.recipe, {"lm.name": str(lm_folder)})
    build_index.run(recipe, Workspace(root))
    return TinyWorld(tiny_world.raw, recipe, Workspace(root))


def folder_of(world: TinyWorld) -> Path:
    return locate.index(world.recipe, world.workspace).path


def test_ranked_holds_the_most_similar_of_each_rows_strict_past(built):
    store, folder = built.store, folder_of(built)
    found = np.load(folder / "ranked.npy")
    reduced = np.load(folder / "reduced.npy").astype(np.float64)
    assert found.shape == (len(store), 8)
    for row in range(len(store)):
        target = store.item[store.row_position[row]]
        past = range(store.user_start[store.row_user(row)], store.history_end[row])
        cosine = {p: round(float(reduced[store.item[p]] @ reduced[target]), 9) for p in past}
        best = sorted(cosine, key=lambda p: (-cosine[p], -p))[:8]
        assert found[row].tolist() == best + [-1] * (8 - len(best))


def test_vectors_are_means_of_the_lms_last_hidden_states(built, lm_folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(lm_folder)
    model = AutoModelForCausalLM.from_pretrained(lm_folder, dtype=torch.float32)
    items = built.store.items
    title, genre = items.title.iloc[5], items.genre.iloc[5]
    text = f"Here is a movie. Its title is {title}. The movie's genre is {genre}."
    with torch.no_grad():
        hidden = model.model(**tokenizer(text, return_tensors="pt")).last_hidden_state
    vectors = np.load(folder_of(built) / "vectors.npy")
    assert vectors[5] == pytest.approx(hidden[0].mean(0).numpy(), abs=1e-5)


def test_items_unseen_in_training_do_not_shape_the_reduction(built):
    store, folder = built.store, folder_of(built)
    assert not store.seen_items.all()
    vectors = np.load(folder / "vectors.npy")
    mean = np.load(folder / "pca_mean.npy")
    assert mean == pytest.approx(vectors[store.seen_items].mean(axis=0), abs=1e-5)


def test_a_second_run_is_up_to_date_and_tells_the_same_figures(world):
    first = build_index.run(world.recipe, world.workspace)
    again = build_index.run(world.recipe, world.workspace)
    assert (first.up_to_date, again.up_to_date) == (False, True)
    assert first.encoded == world.store.header.items
    assert again == replace(first, up_to_date=True, encoded=0)


def test_a_store_prepared_anew_makes_the_index_anew_but_keeps_its_vectors(world):
    build_index.run(world.recipe, world.workspace)
    store = locate.store(world.recipe, world.workspace)
    manifest = store.manifest()
    store.finish(replace(manifest, seconds=manifest.seconds + 1))
    again = build_index.run(world.recipe, world.workspace)
    assert not again.up_to_date
    assert again.encoded == 0


def test_force_encodes_anew(world):
    first = build_index.run(world.recipe, world.workspace)
    forced = build_index.run(world.recipe, world.workspace, force=True)
    assert forced.encoded == first.encoded > 0


def test_another_index_of_the_same_encoder_takes_its_vectors(world):
    build_index.run(world.recipe, world.workspace)
    shorter = with_values(world.recipe, {"retriever.long": 3})
    found = build_index.run(shorter, world.workspace)
    assert found.encoded == 0
    assert np.load(Path(found.artefact) / "ranked.npy").shape == (len(world.store), 3)


def test_a_killed_encoding_goes_on_at_its_last_whole_block(world, monkeypatch):
    monkeypatch.setattr(item_vectors, "BLOCK", 8)
    whole = build_index.run(world.recipe, world.workspace)
    expected = np.load(folder_of(world) / "vectors.npy")
    shutil.rmtree(folder_of(world))
    real, calls = item_vectors.encode_tokens, []

    def killed_in_the_third_block(lm, rows):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(rows))
        return real(lm, rows)

    monkeypatch.setattr(item_vectors, "encode_tokens", killed_in_the_third_block)
    with pytest.raises(KeyboardInterrupt):
        build_index.run(world.recipe, world.workspace)
    with (folder_of(world) / item_vectors.PARTIAL).open("ab") as file:
        file.write(b"torn")
    assert locate.index(world.recipe, world.workspace).manifest() is None
    monkeypatch.setattr(item_vectors, "encode_tokens", real)
    resumed = build_index.run(world.recipe, world.workspace)
    assert resumed.encoded == whole.encoded - 16
    assert np.array_equal(np.load(folder_of(world) / "vectors.npy"), expected)
    assert not (folder_of(world) / item_vectors.PARTIAL).exists()


def test_a_ranking_that_was_stopped_goes_on_and_gives_the_same_file(world, monkeypatch):
    build_index.run(world.recipe, world.workspace)
    expected = np.load(folder_of(world) / "ranked.npy")
    shutil.rmtree(folder_of(world))
    monkeypatch.setattr(ranked, "BLOCK_ROWS", 60)
    monkeypatch.setattr(ranked_file, "SAVE_SECONDS", 0.0)
    real = ranked.Ranker.in_blocks

    def stopped(self, asked, k, first=0):
        for at, block in enumerate(real(self, asked, k, first)):
            if at == 3:
                raise KeyboardInterrupt
            yield block

    with monkeypatch.context() as patch:
        patch.setattr(ranked.Ranker, "in_blocks", stopped)
        with pytest.raises(KeyboardInterrupt):
            build_index.run(world.recipe, world.workspace)
    assert locate.index(world.recipe, world.workspace).manifest() is None
    firsts = []
    monkeypatch.setattr(
        ranked.Ranker,
        "in_blocks",
        lambda self, asked, k, first=0: firsts.append(first) or real(self, asked, k, first),
    )
    assert build_index.run(world.recipe, world.workspace).encoded == 0
    assert firsts == [180]
    assert np.array_equal(np.load(folder_of(world) / "ranked.npy"), expected)


def test_with_rows_needed_nothing_is_ranked_and_stages_read_the_same(world):
    build_index.run(world.recipe, world.workspace)
    needed = with_values(world.recipe, {"retriever.rows": "needed"})
    found = build_index.run(needed, world.workspace)
    assert (found.ranked_rows, found.encoded) == ("needed", 0)
    assert not (Path(found.artefact) / "ranked.npy").exists()
    rows = np.random.default_rng(0).permutation(len(world.store))
    every, asked = (
        Sources(recipe, world.workspace, torch.device("cpu")) for recipe in (world.recipe, needed)
    )
    questions = Questions.of_rows(world.store, rows)
    for policy in ("recent", "retrieved", "mixed"):
        assert np.array_equal(
            asked.prompt_behaviours(questions, policy), every.prompt_behaviours(questions, policy)
        )
    assert np.array_equal(asked.crm_behaviours(questions), every.crm_behaviours(questions))
    assert np.array_equal(asked.ranked.of(rows), every.ranked.of(rows))


def test_tells_what_the_catalogue_finds(built):
    told = locate.index(built.recipe, built.workspace).manifest().figures
    assert (told["catalogue"], told["recall_at_10"], told["recall_at_100"]) == ("flat", 1.0, 1.0)


def test_a_partial_file_of_other_texts_is_begun_anew(world):
    folder = folder_of(world)
    folder.mkdir(parents=True)
    (folder / item_vectors.PARTIAL).write_bytes(bytes(64 * 4 * 200))
    (folder / item_vectors.PARTIAL_TOLD).write_text('{"identity": "other", "width": 64}')
    found = build_index.run(world.recipe, world.workspace)
    assert found.encoded == found.items


def test_what_a_killed_process_left_is_swept_by_the_next(world):
    folder = folder_of(world)
    folder.mkdir(parents=True)
    (folder / ".ranked.npy.abcd1234.part").write_bytes(b"half")
    build_index.run(world.recipe, world.workspace)
    assert not list(folder.glob(".*.part"))


def test_a_dry_run_tells_items_tokens_and_time_and_writes_nothing(world):
    plan = build_index.run(world.recipe, world.workspace, dry_run=True)
    assert plan.dry_run
    assert plan.items == world.store.header.items
    assert plan.tokens > plan.items
    assert plan.estimated_seconds > 0
    assert not folder_of(world).exists()


def test_without_a_prepared_dataset_the_command_that_makes_it_is_named(world, tmp_path):
    with pytest.raises(MissingInputError, match="reclora prepare ml-1m"):
        build_index.run(world.recipe, Workspace(tmp_path / "empty"))


def test_similar_items_are_nearest_by_cosine(built):
    store = built.store
    reduced = np.load(folder_of(built) / "reduced.npy")
    title = store.items.title.iloc[3]
    found = build_index.similar(built.recipe, built.workspace, title, 4)
    cosines = reduced @ reduced[3]
    cosines[3] = -2
    best = np.argsort(-cosines, kind="stable")[:4]
    assert found.title == title
    assert [item.item for item in found.similar] == store.items.item_id.iloc[best].astype(
        str
    ).tolist()
    assert [item.similarity for item in found.similar] == pytest.approx(cosines[best], abs=1e-3)


def test_a_title_is_found_without_its_year_and_whatever_its_case(built):
    title = built.store.items.title.iloc[3]
    short = title.rpartition(" (")[0].upper()
    assert build_index.similar(built.recipe, built.workspace, short, 1).title == title


def test_an_unknown_title_names_near_ones(built):
    title = built.store.items.title.iloc[3]
    with pytest.raises(UsageError) as raised:
        build_index.similar(built.recipe, built.workspace, title.replace(" (", "e ("), 3)
    assert title in raised.value.hint


def test_similar_without_an_index_names_the_command(world):
    with pytest.raises(MissingInputError, match="reclora build-index"):
        build_index.similar(world.recipe, world.workspace, "Heat (1995)", 3)


def test_pasts_of_ml_1m_are_ranked_as_one_by_one(real_data):
    """On real pasts: a sample of rows against ranking them one by one."""
    import pandas as pd

    from reclora_cli.retrieval.ranked import rank_past

    raw = pd.read_csv(
        real_data / "ml-1m" / "ratings.dat", sep=":", header=None, usecols=[0, 2, 6], nrows=150_000
    )
    raw.columns = ["user", "item", "time"]
    raw = raw.sort_values(["user", "time", "item"], kind="stable")
    user = pd.factorize(raw.user)[0]
    item = pd.factorize(raw.item, sort=True)[0].astype(np.int32)
    user_start = np.searchsorted(user, np.arange(user.max() + 2))
    vectors = np.random.default_rng(0).normal(size=(item.max() + 1, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    positions = np.arange(len(user))
    found = rank_past(vectors, item, user_start, positions, positions, 60)
    exact = vectors.astype(np.float64)
    for position in np.random.default_rng(1).choice(positions, 300, replace=False):
        start = user_start[user[position]]
        cosines = np.round(exact[item[start:position]] @ exact[item[position]], 11)
        best = np.lexsort((-np.arange(len(cosines)), -cosines))[:60] + start
        assert found[position, : len(best)].tolist() == best.tolist()
        assert (found[position, len(best) :] == -1).all()


def test_an_index_that_is_up_to_date_is_told_while_another_writes_here(built):
    with Workspace(built.workspace.root).writing():
        assert build_index.run(built.recipe, Workspace(built.workspace.root)).up_to_date
        with pytest.raises(RecloraError, match="another reclora is writing here"):
            build_index.run(built.recipe, Workspace(built.workspace.root), force=True)
