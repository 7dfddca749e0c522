"""What every CRM of the catalogue must do. A new model is tested by being listed there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reclora_cli import catalog
from reclora_cli.crm.base import Crm, build, representation_width
from reclora_cli.crm.batch import OLDEST, CrmBatch, make_batch, make_pair_batch
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.storage import load_weights, save_weights
from reclora_cli.crm.texts import VectorTexts
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from reclora_cli.errors import RecloraError
from reclora_cli.lora.gate import Gate, GateSettings
from reclora_cli.recipe.tree import CrmRecipe
from tests.text_vectors import random_vectors
from tests.world import TinyWorld

LENGTH = 8
TEXT_WIDTH = 6
READ_AGES = {"sim"}
REPRESENTATIONS = ("final", "pre_mlp")

pytestmark = pytest.mark.parametrize("name", list(catalog.CRMS))


class Small:
    """The tiny world's rows, and models small enough for it, on one device."""

    def __init__(self, world: TinyWorld, device: torch.device) -> None:
        self.world = world
        self.device = device
        self.store = world.store
        self.space = FeatureSpace(self.store)
        self.texts = random_vectors(self.store, world.recipe, TEXT_WIDTH)
        self.shape = FeatureShape.of(self.space, TEXT_WIDTH)
        self.train = np.asarray(self.store.split("train"))

    def recipe(self, name: str, **values: object) -> CrmRecipe:
        return self.world.recipe.crm.model_copy(update={"model": name, "dropout": 0.0, **values})

    def model(self, name: str, **values: object) -> Crm:
        torch.manual_seed(3)
        return build(self.shape, self.recipe(name, **values)).to(self.device)

    def batch(self, rows: np.ndarray, length: int = LENGTH, padding: int = 0) -> CrmBatch:
        """Rows with their latest ``length`` behaviours, then ``padding`` empty slots."""
        positions = histories.recent(self.store, rows, length)
        wider = np.concatenate([positions, np.full((len(rows), padding), -1)], axis=1)
        return make_batch(self.space, rows, wider, self.texts).to(self.device)

    def pairs(self, users: np.ndarray, items: np.ndarray, length: int = LENGTH) -> CrmBatch:
        """Pairs without any behaviour."""
        nothing, ends = np.full((len(users), length), -1), self.store.user_start[users]
        return make_pair_batch(self.space, users, items, nothing, ends, self.texts).to(self.device)

    def labels(self, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self.store.row_label(rows).astype(np.float32)).to(self.device)


def _on_gpu(name: str) -> object:
    missing = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    return pytest.param(name, marks=[pytest.mark.gpu, missing])


@pytest.fixture(scope="module", params=["cpu", _on_gpu("cuda")])
def small(tiny_world: TinyWorld, request: pytest.FixtureRequest) -> Small:
    return Small(tiny_world, torch.device(request.param))


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_gives_one_logit_and_one_representation_a_row(
    name: str, representation: str, small: Small
) -> None:
    model = small.model(name, representation=representation)
    batch = small.batch(np.arange(5))

    assert model(batch).shape == (5,)
    assert model.encode(batch).shape == (5, model.representation_width)
    recipe = small.recipe(name, representation=representation)
    assert representation_width(recipe, small.shape) == model.representation_width


def test_the_output_layer_and_the_mlp_read_what_the_representations_are(
    name: str, small: Small
) -> None:
    widths = {
        representation: small.model(name, representation=representation).representation_width
        for representation in REPRESENTATIONS
    }
    model = small.model(name)

    assert widths["final"] == model.output.in_features
    assert widths["pre_mlp"] == model.mlp.layers[0][0].in_features


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_its_representation_guides_a_gate_row_by_row(
    name: str, representation: str, small: Small
) -> None:
    model = small.model(name, representation=representation).eval()
    gate = Gate(GateSettings(model.representation_width), ["q_proj"], experts=4, seed=0).eval()

    weights_PBK = gate.to(small.device)(model.encode(small.batch(small.train[:20])))

    assert weights_PBK.shape == (1, 20, 4)
    torch.testing.assert_close(weights_PBK.sum(dim=2), torch.ones_like(weights_PBK[:, :, 0]))
    assert len({tuple(row) for row in weights_PBK[0].tolist()}) == 20


def test_its_own_behaviours_are_the_catalogues(name: str, small: Small) -> None:
    retrieving = name in catalog.RETRIEVING_CRMS

    assert small.model(name).default_behaviours == ("retrieved" if retrieving else "recent")
    assert small.model(name).reads_texts == (name in catalog.TEXT_CRMS)


@pytest.mark.parametrize("padding", [1, 4, 60])
@pytest.mark.parametrize("length", [0, 1, 5, LENGTH])
@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_padding_changes_nothing(
    name: str, representation: str, length: int, padding: int, small: Small
) -> None:
    model = small.model(name, representation=representation).eval()

    told = model.encode_and_score(small.batch(small.train[:40], length))
    padded = model.encode_and_score(small.batch(small.train[:40], length, padding))

    for one, other in zip(told, padded, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_padding_changes_no_gradient(name: str, small: Small) -> None:
    def gradients(padding: int) -> dict[str, torch.Tensor]:
        model = small.model(name)
        model(small.batch(small.train[:40], padding=padding)).square().mean().backward()
        return {key: value.grad for key, value in model.named_parameters()}

    torch.testing.assert_close(gradients(0), gradients(9), rtol=0, atol=1e-6)


def test_the_padding_embedding_stays_zero(name: str, small: Small) -> None:
    model = small.model(name)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)

    model(small.batch(small.train, padding=3)).square().mean().backward()
    optimizer.step()

    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            assert not module.weight[0].any()


def test_rows_do_not_see_each_other_in_evaluation(name: str, small: Small) -> None:
    model = small.model(name).eval()
    together = model(small.batch(np.arange(6)))
    alone = torch.cat([model(small.batch(np.array([row]))) for row in range(6)])

    torch.testing.assert_close(together, alone)


def test_the_order_of_rows_in_a_batch_does_not_matter(name: str, small: Small) -> None:
    model = small.model(name).eval()
    rows = np.arange(12)

    torch.testing.assert_close(model(small.batch(rows)).flip(0), model(small.batch(rows[::-1])))


def test_target_user_and_every_part_of_the_history_matter(name: str, small: Small) -> None:
    model = small.model(name).eval()
    batch = small.batch(small.train[-20:])
    told = model(batch)
    parts = _texts_moved if name in catalog.TEXT_CRMS else _ids_moved
    changed = parts(name, small, batch)

    unread = [part for part, other in changed.items() if torch.allclose(model(other), told)]
    assert unread == []


def _ids_moved(name: str, small: Small, batch: CrmBatch) -> dict[str, CrmBatch]:
    user, item = 0, len(small.space.user_field_names)
    return {
        "user": batch.with_fields(_moved(batch.fields_BF, (slice(None), user))),
        "target": batch.with_fields(_moved(batch.fields_BF, (slice(None), item))),
        "items": dataclasses.replace(batch, items_BL=_moved(batch.items_BL, batch.mask_BL)),
        "ratings": dataclasses.replace(batch, ratings_BL=_moved(batch.ratings_BL, batch.mask_BL)),
    } | ({"ages": _older(batch)} if name in READ_AGES else {})


def _texts_moved(name: str, small: Small, batch: CrmBatch) -> dict[str, CrmBatch]:
    told = batch.texts
    assert isinstance(told, VectorTexts)
    profile, history = told.user_BU.split(TEXT_WIDTH, dim=1)
    changed = {
        "profile": VectorTexts(torch.cat([profile.flip(0), history], dim=1), told.item_BE),
        "history": VectorTexts(torch.cat([profile, history.flip(0)], dim=1), told.item_BE),
        "target": VectorTexts(told.user_BU, told.item_BE.flip(0)),
    }
    return {part: dataclasses.replace(batch, texts=texts) for part, texts in changed.items()}


def _older(batch: CrmBatch) -> CrmBatch:
    older = (batch.ages_BL + 3).clamp(max=OLDEST) * batch.mask_BL
    return dataclasses.replace(batch, ages_BL=older)


def _moved(indices: torch.Tensor, at: object) -> torch.Tensor:
    """Other indices there, none of them padding."""
    other = indices.clone()
    other[at] = 1 + other[at] % 30  # type: ignore[index]
    return other


def test_every_parameter_gets_a_gradient(name: str, small: Small) -> None:
    model = small.model(name)

    model(small.batch(small.train)).square().sum().backward()

    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_overfits_64_rows(name: str, small: Small) -> None:
    model = small.model(name)
    rows = np.random.default_rng(0).permutation(small.train)[:64]
    batch, labels = small.batch(rows), small.labels(rows)

    assert _train(model, batch, labels, steps=200) < 0.05


def test_comes_back_as_it_was_saved(name: str, small: Small, tmp_path: Path) -> None:
    model, other = small.model(name).eval(), build(small.shape, small.recipe(name)).eval()
    other.to(small.device)
    batch = small.batch(np.arange(5))
    assert not torch.equal(model(batch), other(batch))

    save_weights(model, tmp_path)
    load_weights(other, tmp_path)

    assert torch.equal(model(batch), other(batch))


def test_the_seed_decides_the_initial_weights(name: str, small: Small) -> None:
    one, two = small.model(name).state_dict(), small.model(name).state_dict()

    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_seed_decides_the_training(name: str, small: Small) -> None:
    def trained(seed: int) -> torch.Tensor:
        model = small.model(name, dropout=0.3)
        torch.manual_seed(seed)
        _train(model, small.batch(small.train), small.labels(small.train), steps=3)
        return model.eval()(small.batch(small.train))

    exactly = {"rtol": 0, "atol": 0} if small.device.type == "cpu" else {}
    torch.testing.assert_close(trained(1), trained(1), **exactly)
    assert not torch.equal(trained(1), trained(2))


def _train(model: Crm, batch: CrmBatch, labels: torch.Tensor, steps: int) -> float:
    """The loss of the last of ``steps``."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(batch), labels)
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("history", [0, LENGTH])
@pytest.mark.parametrize("length", [0, LENGTH])
def test_a_row_without_behaviours_is_scored(
    name: str, length: int, history: int, small: Small
) -> None:
    model = small.model(name, history=history)

    logits = model(small.pairs(np.arange(3), np.arange(3), length))

    assert torch.isfinite(logits).all()
    assert len(set(logits.tolist())) == 3
    logits.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("kind", ["fields_BF", "items_BL", "ratings_BL"])
@pytest.mark.parametrize("index", [-1, 10**6])
def test_an_index_outside_the_vocabulary_is_named_with_its_row(
    name: str, small: Small, kind: str, index: int
) -> None:
    if small.device.type != "cpu":
        pytest.skip("on a GPU the batch is checked before it goes there")
    batch = small.batch(small.train[:4])
    indices = getattr(batch, kind).clone()
    indices[2, 0] = index

    with pytest.raises(RecloraError, match=f"{index:,} in row 2 of the batch is outside"):
        small.model(name)(dataclasses.replace(batch, **{kind: indices}))


def test_no_rows_give_no_logits(name: str, small: Small) -> None:
    model = small.model(name)
    none = np.array([], dtype=np.int64)

    assert model(small.batch(none)).shape == (0,)
    assert model.encode(small.batch(none)).shape == (0, model.representation_width)


def test_unseen_items_are_all_read_alike_unless_their_texts_are_read(
    name: str, small: Small
) -> None:
    """Newcomers of one genre are one and the same to a model of ids, and not to one of texts."""
    store, space = small.store, small.space
    unseen = np.flatnonzero(~store.seen_items)
    assert len(unseen) >= 2, "the tiny world has items that come late"
    first_item_field = len(space.user_field_names)
    assert (space.items_fields(unseen)[:, 0] == space.unknown(first_item_field)).all()
    batch = small.pairs(np.zeros(len(unseen), int), unseen)
    alike = batch.fields_BF.clone()
    genre = first_item_field + list(space.item_field_names).index("genre")
    alike[:, genre] = alike[0, genre]

    logits = small.model(name).eval()(batch.with_fields(alike))

    assert len(set(logits.tolist())) == (len(unseen) if name in catalog.TEXT_CRMS else 1)
