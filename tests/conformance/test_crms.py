"""What every CRM of the catalogue must do. A new model is tested by being listed there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reclora_cli import catalog
from reclora_cli.crm.base import Crm, build, representation_width
from reclora_cli.crm.batch import CrmBatch, make_batch, make_pair_batch
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.storage import load_weights, save_weights
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from reclora_cli.recipe.tree import CrmRecipe
from tests.world import TinyWorld

LENGTH = 8

pytestmark = pytest.mark.parametrize("name", list(catalog.CRMS))


class Small:
    """The tiny world's rows, and models small enough for it."""

    def __init__(self, world: TinyWorld) -> None:
        self.world = world
        self.store = world.store
        self.space = FeatureSpace(self.store)
        self.shape = FeatureShape.of(self.space)

    def recipe(self, name: str, **values: object) -> CrmRecipe:
        return self.world.recipe.crm.model_copy(update={"model": name, "dropout": 0.0, **values})

    def model(self, name: str, **values: object) -> Crm:
        torch.manual_seed(3)
        return build(self.shape, self.recipe(name, **values))

    def batch(self, rows: np.ndarray, length: int = LENGTH) -> CrmBatch:
        return make_batch(self.space, rows, histories.recent(self.store, rows, length))

    def labels(self, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self.store.row_label(rows).astype(np.float32))


@pytest.fixture(scope="module")
def small(tiny_world: TinyWorld) -> Small:
    return Small(tiny_world)


@pytest.mark.parametrize("representation", ["final", "pre_mlp"])
def test_gives_one_logit_and_one_representation_a_row(
    name: str, representation: str, small: Small
) -> None:
    model = small.model(name, representation=representation)
    batch = small.batch(np.arange(5))

    assert model(batch).shape == (5,)
    assert model.encode(batch).shape == (5, model.representation_width)
    recipe = small.recipe(name, representation=representation)
    assert representation_width(recipe, small.shape) == model.representation_width


def test_its_own_behaviours_are_the_catalogues(name: str, small: Small) -> None:
    retrieving = name in catalog.RETRIEVING_CRMS

    assert small.model(name).default_behaviours == ("retrieved" if retrieving else "recent")


def test_padding_changes_nothing(name: str, small: Small) -> None:
    model = small.model(name).eval()
    rows = np.asarray(small.store.split("train"))[:20]

    torch.testing.assert_close(model(small.batch(rows, 8)), _padded(model, small, rows))


def _padded(model: Crm, small: Small, rows: np.ndarray) -> torch.Tensor:
    positions = histories.recent(small.store, rows, 8)
    wider = np.concatenate([positions, np.full((len(rows), 4), -1)], axis=1)
    return model(make_batch(small.space, rows, wider))


def test_rows_do_not_see_each_other_in_evaluation(name: str, small: Small) -> None:
    model = small.model(name).eval()
    together = model(small.batch(np.arange(6)))
    alone = torch.cat([model(small.batch(np.array([row]))) for row in range(6)])

    torch.testing.assert_close(together, alone)


def test_every_parameter_gets_a_gradient(name: str, small: Small) -> None:
    model = small.model(name)
    rows = np.asarray(small.store.split("train"))

    model(small.batch(rows)).square().sum().backward()

    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_overfits_64_rows(name: str, small: Small) -> None:
    model = small.model(name)
    rows = np.random.default_rng(0).permutation(np.asarray(small.store.split("train")))[:64]
    batch, labels = small.batch(rows), small.labels(rows)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    for _ in range(200):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(batch), labels)
        loss.backward()
        optimizer.step()

    assert loss.item() < 0.05


def test_comes_back_as_it_was_saved(name: str, small: Small, tmp_path: Path) -> None:
    model, other = small.model(name).eval(), build(small.shape, small.recipe(name)).eval()
    batch = small.batch(np.arange(5))
    assert not torch.equal(model(batch), other(batch))

    save_weights(model, tmp_path)
    load_weights(other, tmp_path)

    assert torch.equal(model(batch), other(batch))


def test_the_seed_decides_the_initial_weights(name: str, small: Small) -> None:
    one, two = small.model(name).state_dict(), small.model(name).state_dict()

    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("length", [0, LENGTH])
def test_a_row_without_behaviours_is_scored(name: str, length: int, small: Small) -> None:
    model = small.model(name).eval()
    nothing = np.full((3, length), -1)

    logits = model(make_pair_batch(small.space, np.arange(3), np.arange(3), nothing))

    assert torch.isfinite(logits).all()
    assert len(set(logits.tolist())) == 3


def test_unseen_users_and_items_are_all_read_alike(name: str, small: Small) -> None:
    """Two newcomers with one profile are one and the same to the model."""
    store, space = small.store, small.space
    unseen = np.flatnonzero(~store.seen_items)
    assert len(unseen) >= 2, "the tiny world has items that come late"
    genre = list(space.item_field_names).index("genre")
    fields = space.items_fields(unseen)
    assert (fields[:, 0] == space.unknown(len(space.user_field_names))).all()
    alike = [i for i in unseen if space.items_fields(i)[genre] == fields[0, genre]]
    model = small.model(name).eval()
    nothing = np.full((len(alike), LENGTH), -1)

    logits = model(make_pair_batch(space, np.zeros(len(alike), int), np.array(alike), nothing))

    assert len(set(logits.tolist())) == 1


def test_the_order_of_rows_in_a_batch_does_not_matter(name: str, small: Small) -> None:
    model = small.model(name).eval()
    rows = np.arange(12)

    torch.testing.assert_close(model(small.batch(rows)).flip(0), model(small.batch(rows[::-1])))
