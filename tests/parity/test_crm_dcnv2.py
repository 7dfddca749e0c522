"""DCN V2 against the paper's equations written as loops, with the model's weights copied."""

from __future__ import annotations

import numpy as np
import pytest

from reclora_cli.crm.batch import CrmBatch
from tests.parity.loops import (
    Told,
    Weights,
    assert_forward_equals,
    assert_gradients_equal,
    dense,
    fields_and_mean_history,
    layers_below,
    predict,
    small_model,
)


def dcnv2(w: Weights, batch: CrmBatch, row: int) -> Told:
    """One row, cross layer by cross layer, entry by entry."""
    x_0 = np.concatenate(fields_and_mean_history(w["embedding.table.weight"], batch, row))
    x = x_0
    for layer in layers_below(w, "cross."):
        mapped = dense(w, layer, x)
        x = np.array([x_0[i] * mapped[i] + x[i] for i in range(len(x))])
    return predict(w, x_0, beside=x)


@pytest.mark.parametrize("representation", ["final", "pre_mlp"])
@pytest.mark.parametrize("layers", [1, 3])
def test_equals_the_equations_written_as_loops(layers: int, representation: str) -> None:
    settings = {"dcnv2.cross_layers": layers, "representation": representation}

    assert_forward_equals(small_model("dcnv2", **settings), dcnv2)


def test_gradients_equal_those_of_the_loops() -> None:
    assert_gradients_equal(small_model("dcnv2", **{"dcnv2.cross_layers": 2}), dcnv2)
