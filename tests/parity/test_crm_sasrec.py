"""SASRec against the paper's equations written as loops, with the model's weights copied."""

from __future__ import annotations

import numpy as np
import pytest

from reclora_cli.crm.base import Crm
from reclora_cli.crm.batch import CrmBatch
from tests.parity.loops import (
    LENGTH,
    Reference,
    Told,
    Vector,
    Weights,
    assert_forward_equals,
    assert_gradients_equal,
    attend,
    behaviours_of,
    dense,
    fields_of,
    predict,
    relu,
    small_model,
)

WIDTH = 6
_EPSILON = 1e-5


def normalise(w: Weights, layer: str, x: Vector) -> Vector:
    centred = x - sum(x) / len(x)
    spread = (sum(value**2 for value in centred) / len(x) + _EPSILON) ** 0.5
    return w[f"{layer}.weight"] * centred / spread + w[f"{layer}.bias"]


def block(w: Weights, at: str, sequence: list[Vector], heads: int) -> list[Vector]:
    """One block, for every behaviour: it reads itself and those before it."""
    normal = [normalise(w, f"{at}.attention_norm", x) for x in sequence]
    scale = (WIDTH / heads) ** -0.5
    found = []
    for place, x in enumerate(sequence):
        x = x + attend(w, f"{at}.attention", normal[place], normal[: place + 1], heads, scale)
        hidden = relu(dense(w, f"{at}.feed_forward.1", normalise(w, f"{at}.feed_forward.0", x)))
        found.append(x + dense(w, f"{at}.feed_forward.3", hidden))
    return found


def sasrec(layers: int, heads: int) -> Reference:
    """One row, block by block, behaviour by behaviour; all outputs are made, the last is read."""

    def told(w: Weights, batch: CrmBatch, row: int) -> Told:
        table, positions = w["embedding.table.weight"], w["positions"]
        past = behaviours_of(table, batch, row)
        sequence = []
        for place, pair in enumerate(past):
            back = min(len(past) - 1 - place, len(positions) - 1)
            sequence.append(dense(w, "widen", np.concatenate(pair)) + positions[back])
        for layer in range(layers):
            sequence = block(w, f"blocks.{layer}", sequence, heads)
        last = sequence[-1] if sequence else np.zeros(WIDTH)
        return predict(w, np.concatenate([*fields_of(table, batch, row), last]))

    return told


def model_of(layers: int, heads: int, representation: str = "final", history: int = LENGTH) -> Crm:
    own = {"sasrec.layers": layers, "sasrec.heads": heads, "sasrec.width": WIDTH}
    return small_model("sasrec", representation=representation, history=history, **own)


@pytest.mark.parametrize("representation", ["final", "pre_mlp"])
@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (1, 2), (2, 1), (3, 3)])
def test_equals_the_equations_written_as_loops(
    layers: int, heads: int, representation: str
) -> None:
    assert_forward_equals(model_of(layers, heads, representation), sasrec(layers, heads))


def test_behaviours_beyond_the_history_share_the_furthest_position() -> None:
    assert_forward_equals(model_of(2, 1, history=3), sasrec(2, 1))


def test_gradients_equal_those_of_the_loops() -> None:
    assert_gradients_equal(model_of(2, 2), sasrec(2, 2))
