"""What the CRMs' naive references share: plain loops over rows, fields and behaviours.

A reference reads nothing of the model but a copy of its weights, by their names. Gradients are
checked against central differences of the reference, so its loops are all there is to trust.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from reclora_cli import recipe as recipes
from reclora_cli.crm.base import Crm, build
from reclora_cli.crm.batch import OLDEST, CrmBatch
from reclora_cli.crm.blocks.embedding import PADDING
from reclora_cli.crm.features import FeatureShape

Vector = NDArray[np.float64]
Weights = dict[str, Vector]
Told = tuple[Vector, Vector, float]
"""MLP input, last hidden layer, logit of a row."""
Reference = Callable[[Weights, CrmBatch, int], Told]

SHAPE = FeatureShape(size=40, fields=3, item_field=1)
ROWS, LENGTH = 6, 5
_STEP = 1e-6
_CHECKED_ENTRIES = 4


def small_model(name: str, **settings: object) -> Crm:
    """A model of double precision with weights large enough to tell one term from another."""
    small = {"model": name, "embedding": 4, "dnn_layers": [8, 7], "history": LENGTH} | settings
    recipe = recipes.load("base", values={f"crm.{key}": value for key, value in small.items()})
    torch.manual_seed(0)
    model = build(SHAPE, recipe.crm).double().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            torch.nn.init.normal_(module.weight)
            torch.nn.init.zeros_(module.weight[PADDING])
    return model


def small_batch() -> CrmBatch:
    """Rows with all, some, one and no behaviours."""
    stream = torch.Generator().manual_seed(1)
    lengths = torch.tensor([LENGTH, 3, 1, 0, LENGTH, 2])
    mask = torch.arange(LENGTH)[None] < lengths[:, None]
    ids = torch.randint(1, SHAPE.size, (3, ROWS, LENGTH), generator=stream)
    ages = torch.randint(1, 1 + OLDEST, (ROWS, LENGTH), generator=stream)
    return CrmBatch(ids[0][:, : SHAPE.fields], ids[1] * mask, ids[2] * mask, ages * mask, mask)


def weights_of(model: Crm) -> Weights:
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


# -- pieces --------------------------------------------------------------------------------------


def dense(w: Weights, layer: str, x: Sequence[float] | Vector) -> Vector:
    """W x + b, entry by entry; without b when the layer has none."""
    weight = w[f"{layer}.weight"]
    bias = w.get(f"{layer}.bias", np.zeros(len(weight)))
    return np.array(
        [bias[i] + sum(weight[i, j] * x[j] for j in range(len(x))) for i in range(len(weight))]
    )


def relu(x: Vector) -> Vector:
    return np.array([max(value, 0.0) for value in x])


def sigmoid(x: Vector) -> Vector:
    return np.array([1 / (1 + math.exp(-value)) for value in x])


def softmax(x: Sequence[float]) -> list[float]:
    raised = [math.exp(value - max(x)) for value in x]
    return [value / sum(raised) for value in raised]


def layers_below(w: Weights, prefix: str) -> list[str]:
    """Names of the layers below ``prefix`` that have a weight, in their order."""
    return [key.removesuffix(".weight") for key in w if key.startswith(prefix) and "weight" in key]


def fields_of(table: Vector, batch: CrmBatch, row: int) -> list[Vector]:
    return [table[int(at)] for at in batch.fields_BF[row]]


def behaviours_of(table: Vector, batch: CrmBatch, row: int) -> list[tuple[Vector, Vector]]:
    """Item's and rating's embedding of each behaviour, in time order."""
    return [
        (table[int(batch.items_BL[row, at])], table[int(batch.ratings_BL[row, at])])
        for at in range(batch.mask_BL.shape[1])
        if batch.mask_BL[row, at]
    ]


def fields_and_mean_history(table: Vector, batch: CrmBatch, row: int) -> list[Vector]:
    """The target fields, then the means of the history's items and ratings."""
    past = behaviours_of(table, batch, row)
    means = [np.zeros(table.shape[1]), np.zeros(table.shape[1])]
    for item, rating in past:
        means = [means[0] + item / len(past), means[1] + rating / len(past)]
    return fields_of(table, batch, row) + means


def attend(
    w: Weights, attention: str, reading: Vector, read: list[Vector], heads: int, scale: float
) -> Vector:
    """What one slot finds in others, head by head."""
    query = dense(w, f"{attention}.query", reading)
    keys = [dense(w, f"{attention}.key", slot) for slot in read]
    values = [dense(w, f"{attention}.value", slot) for slot in read]
    found, width = np.zeros(len(query)), len(query) // heads
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        weights = softmax([scale * float(np.dot(query[own], key[own])) for key in keys])
        for weight, value in zip(weights, values, strict=True):
            found[own] += weight * value[own]
    return found


def predict(w: Weights, mlp_input: Vector, beside: Vector | None = None, logit: float = 0) -> Told:
    """The MLP and the output layer."""
    hidden = mlp_input
    for layer in layers_below(w, "mlp."):
        hidden = relu(dense(w, layer, hidden))
    final = hidden if beside is None else np.concatenate([hidden, beside])
    return mlp_input, final, logit + float(dense(w, "output", final)[0])


# -- what is checked -----------------------------------------------------------------------------


def assert_forward_equals(model: Crm, reference: Reference) -> None:
    """R_c of both kinds and the logit of every row."""
    batch, weights = small_batch(), weights_of(model)
    encoded, logits = model.encode_and_score(batch)
    for row in range(ROWS):
        mlp_input, final, logit = reference(weights, batch, row)
        expected = final if model.representation == "final" else mlp_input
        np.testing.assert_allclose(encoded[row].detach().numpy(), expected, rtol=1e-9, atol=1e-12)
        assert logits[row].item() == pytest.approx(logit, rel=1e-9)


def assert_gradients_equal(model: Crm, reference: Reference) -> None:
    """The gradient of the mean BCE, at some entries of every weight, by central differences.

    Some are entries that it reaches (few of the embeddings), some are any.
    """
    batch, weights = small_batch(), weights_of(model)
    labels = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        model(batch), torch.tensor(labels, dtype=torch.float64)
    )
    loss.backward()  # type: ignore[no-untyped-call]
    stream = np.random.default_rng(0)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        moved = parameter.grad.numpy()
        reached = np.argwhere(np.abs(moved) > 1e-8)
        assert len(reached), f"{name} gets no gradient"
        drawn = stream.permutation(np.argwhere(np.ones_like(moved)))[:_CHECKED_ENTRIES]
        for at in [*stream.permutation(reached)[:_CHECKED_ENTRIES], *drawn]:
            found = _slope(weights, name, tuple(at), lambda: _loss(reference, weights, labels))
            assert moved[tuple(at)] == pytest.approx(found, rel=1e-4, abs=1e-8), (name, at)


def _loss(reference: Reference, weights: Weights, labels: list[float]) -> float:
    batch, total = small_batch(), 0.0
    for row, label in enumerate(labels):
        logit = reference(weights, batch, row)[2]
        total += math.log1p(math.exp(logit)) - label * logit
    return total / len(labels)


def _slope(weights: Weights, name: str, at: tuple[int, ...], loss: Callable[[], float]) -> float:
    kept = weights[name][at]
    weights[name][at] = kept + _STEP
    above = loss()
    weights[name][at] = kept - _STEP
    below = loss()
    weights[name][at] = kept
    return (above - below) / (2 * _STEP)
