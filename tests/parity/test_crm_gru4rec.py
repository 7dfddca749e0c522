"""GRU4Rec against the recurrence written as loops, with the model's weights copied."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reclora_cli.crm.base import Crm
from reclora_cli.crm.batch import CrmBatch
from tests.parity.loops import (
    Reference,
    Told,
    Vector,
    Weights,
    assert_forward_equals,
    assert_gradients_equal,
    behaviours_of,
    dense,
    fields_of,
    predict,
    sigmoid,
    small_model,
)

WIDTH = 3


def step(w: Weights, layer: int, x: Vector, h: Vector) -> Vector:
    """One state from the one before; gates stand as reset, update, new."""
    gates = {}
    for kind, read in (("i", x), ("h", h)):
        named = {
            "weight": w[f"recurrent.weight_{kind}h_l{layer}"],
            "bias": w[f"recurrent.bias_{kind}h_l{layer}"],
        }
        gates[kind] = dense(
            {f"gates.{name}": value for name, value in named.items()}, "gates", read
        )
    reset = sigmoid(gates["i"][:WIDTH] + gates["h"][:WIDTH])
    update = sigmoid(gates["i"][WIDTH : 2 * WIDTH] + gates["h"][WIDTH : 2 * WIDTH])
    raw = gates["i"][2 * WIDTH :] + reset * gates["h"][2 * WIDTH :]
    new = np.array([math.tanh(value) for value in raw])
    return np.array([(1 - update[i]) * new[i] + update[i] * h[i] for i in range(WIDTH)])


def gru4rec(layers: int) -> Reference:
    """One row, behaviour by behaviour; padding is never read."""

    def told(w: Weights, batch: CrmBatch, row: int) -> Told:
        table = w["embedding.table.weight"]
        states = [np.zeros(WIDTH) for _ in range(layers)]
        for item, rating in behaviours_of(table, batch, row):
            x = np.concatenate([item, rating])
            for layer in range(layers):
                states[layer] = step(w, layer, x, states[layer])
                x = states[layer]
        return predict(w, np.concatenate([*fields_of(table, batch, row), states[-1]]))

    return told


def model_of(layers: int, representation: str = "final") -> Crm:
    own = {"gru4rec.layers": layers, "gru4rec.width": WIDTH}
    return small_model("gru4rec", representation=representation, **own)


@pytest.mark.parametrize("representation", ["final", "pre_mlp"])
@pytest.mark.parametrize("layers", [1, 2])
def test_equals_the_recurrence_written_as_loops(layers: int, representation: str) -> None:
    assert_forward_equals(model_of(layers, representation), gru4rec(layers))


def test_gradients_equal_those_of_the_loops() -> None:
    assert_gradients_equal(model_of(2), gru4rec(2))
