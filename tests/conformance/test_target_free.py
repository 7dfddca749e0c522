"""``gate.input: user``: what the gate reads must not depend on the candidate, whatever the CRM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reclora_cli import catalog, recipe
from reclora_cli.crm.base import build
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.storage import CrmConfig
from reclora_cli.crm.texts import NO_TEXTS, ReadTexts
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.store import InteractionsStore
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.crm_scorer import CrmScorer
from reclora_cli.scoring.questions import Questions
from reclora_cli.scoring.target_free import TARGETS, TargetFreeCrm, reference_targets
from reclora_cli.stages import prepare
from reclora_cli.workspace import Workspace
from tests.text_vectors import random_vectors
from tests.world import TinyWorld

TEXT_WIDTH = 6


@pytest.fixture(scope="module")
def ml_100k(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> InteractionsStore:
    """The real MovieLens-100K, prepared."""
    files = real_data / "ml-100k"
    if not files.is_dir():
        pytest.skip(f"no real data in {files}")
    workspace = Workspace(tmp_path_factory.mktemp("ml-100k"))
    prepare.run(recipe.load("ml-100k"), workspace, given=files)
    return InteractionsStore(workspace.store("ml-100k").path)


def scorer(store: InteractionsStore, whole: Recipe, name: str, history: int = 8) -> CrmScorer:
    """An untrained CRM of the catalogue; what its weights are does not matter here."""
    reads = name in catalog.TEXT_CRMS
    texts = ReadTexts(random_vectors(store, whole, TEXT_WIDTH), TEXT_WIDTH, "noise")
    own = whole.crm.model_copy(
        update={"model": name, "history": history, "embedding": 8, "dnn_layers": (16, 8)}
    )
    space = FeatureSpace(store)
    torch.manual_seed(0)
    model = build(FeatureShape.of(space, TEXT_WIDTH), own).eval()
    behaviours = "retrieved" if name in catalog.RETRIEVING_CRMS else "recent"
    config = CrmConfig(behaviours, own.deciding(), FeatureShape.of(space), "space")
    return CrmScorer(
        model, config, store, space=space, texts=texts if reads else NO_TEXTS, identity="weights"
    )


@pytest.mark.parametrize("name", list(catalog.CRMS))
def test_on_real_rows_it_is_the_same_for_every_candidate(
    name: str, ml_100k: InteractionsStore
) -> None:
    crm = scorer(ml_100k, recipe.load("ml-100k"), name)
    test = np.asarray(ml_100k.split("test"))
    asked = Questions.of_rows(ml_100k, np.random.default_rng(0).permutation(test)[:24])
    reads = TargetFreeCrm(crm, ml_100k)
    found = reads.represent_questions(asked)

    rng = np.random.default_rng(1)
    for _ in range(2):
        others = rng.integers(ml_100k.header.items, size=len(asked))
        candidates = Questions(asked.users, others, asked.ends)
        np.testing.assert_array_equal(reads.represent_questions(candidates), found)
        # With the target in sight R_c does move, so the test above can fail.
        positions = candidates.recent(ml_100k, crm.history)
        seen = crm.represent_pairs(asked.users, others, positions, asked.ends)
        assert np.abs(seen - found).max() > 1e-4
    assert len(np.unique(found, axis=0)) == len({*zip(asked.users, asked.ends, strict=True)})


@pytest.mark.parametrize("name", list(catalog.CRMS))
def test_it_is_the_mean_over_the_reference_targets_read_one_by_one(
    name: str, tiny_world: TinyWorld
) -> None:
    store = tiny_world.store
    crm = scorer(store, tiny_world.recipe, name)
    rows = np.array([3, 40, 200, 41])
    positions = histories.recent(store, rows, crm.history)
    users, ends = store.row_user(rows), Questions.of_rows(store, rows).ends
    targets = reference_targets(store)
    assert len(targets) == TARGETS
    one_by_one = [
        crm.represent_pairs(users, np.full(len(rows), target), positions, ends)
        for target in targets
    ]
    found = TargetFreeCrm(crm, store).represent(rows)
    assert found.shape == (4, crm.representation_width)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.mean(one_by_one, axis=0), rtol=1e-4, atol=1e-6)


def test_a_later_behaviour_is_not_read(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    reads = TargetFreeCrm(scorer(store, tiny_world.recipe, "sim"), store)
    user = int(np.diff(store.user_start).argmax())
    first, end = (int(at) for at in store.user_start[user : user + 2])

    def asked(*ends: int) -> np.ndarray:
        nobody = np.zeros(len(ends), dtype=np.int64)
        return reads.represent_questions(Questions(nobody + user, nobody, np.array(ends)))

    early, late, again = asked(end - 3, end, end - 3)
    assert not np.array_equal(early, late)
    np.testing.assert_array_equal(early, again)
    np.testing.assert_allclose(asked(end - 3)[0], early, atol=1e-6)
    assert np.isfinite(asked(first)).all(), "a user without a past has one too"


def test_equal_pasts_are_asked_once_and_get_the_same_bits(
    tiny_world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tiny_world.store
    crm = scorer(store, tiny_world.recipe, "din")
    reads, sizes = TargetFreeCrm(crm, store), []
    whole = crm.represent_pairs
    monkeypatch.setattr(
        crm, "represent_pairs", lambda *asked: (sizes.append(len(asked[0])), whole(*asked))[1]
    )
    candidates = np.arange(30)
    alike = np.zeros(30, dtype=np.int64)
    found = reads.represent_questions(Questions(alike + 4, candidates, alike + 90))
    assert sizes == [TARGETS]
    assert len(np.unique(found, axis=0)) == 1


def test_reference_targets_stand_for_the_training_rows(ml_100k: InteractionsStore) -> None:
    """Their popularity is that of the rows' targets, decile by decile; the same every time."""
    many = reference_targets(ml_100k, 200)
    np.testing.assert_array_equal(many, reference_targets(ml_100k, 200))
    rows = ml_100k.split("train")
    items = ml_100k.row_item(slice(rows.start, rows.stop))
    counts = np.bincount(items, minlength=ml_100k.header.items)
    deciles = np.arange(0.1, 1.0, 0.1)
    np.testing.assert_allclose(
        np.quantile(counts[many], deciles), np.quantile(counts[items], deciles), rtol=0.05
    )
    assert (counts[reference_targets(ml_100k)] > 0).all()


def test_its_identity_tells_it_from_the_crm_that_sees_the_target(tiny_world: TinyWorld) -> None:
    crm = scorer(tiny_world.store, tiny_world.recipe, "din")
    assert TargetFreeCrm(crm, tiny_world.store).identity.startswith("weights-without-target-")


def test_no_questions_give_no_representations(tiny_world: TinyWorld) -> None:
    reads = TargetFreeCrm(scorer(tiny_world.store, tiny_world.recipe, "sim"), tiny_world.store)
    none = np.array([], dtype=np.int64)
    assert reads.represent(none).shape == (0, reads._crm.representation_width)
