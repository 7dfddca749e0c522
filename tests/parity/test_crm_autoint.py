"""AutoInt against the paper's equations written as loops, with the model's weights copied."""

from __future__ import annotations

import numpy as np
import pytest

from reclora_cli.crm.base import Crm
from reclora_cli.crm.batch import CrmBatch
from tests.parity.loops import (
    Reference,
    Told,
    Weights,
    assert_forward_equals,
    assert_gradients_equal,
    attend,
    dense,
    fields_and_mean_history,
    predict,
    relu,
    small_model,
)


def autoint(layers: int, heads: int) -> Reference:
    """One row, layer by layer, field by field, head by head."""

    def told(w: Weights, batch: CrmBatch, row: int) -> Told:
        fields = fields_and_mean_history(w["embedding.table.weight"], batch, row)
        crossed = fields
        for layer in range(layers):
            at = f"interacting.{layer}"
            found = [attend(w, f"{at}.attention", e, crossed, heads, 1.0) for e in crossed]
            kept = [dense(w, f"{at}.residual", e) for e in crossed]
            crossed = [relu(one + other) for one, other in zip(found, kept, strict=True)]
        return predict(w, np.concatenate(fields), beside=np.concatenate(crossed))

    return told


def model_of(layers: int, heads: int, representation: str = "final") -> Crm:
    own = {"autoint.layers": layers, "autoint.heads": heads, "autoint.width": 6}
    return small_model("autoint", representation=representation, **own)


@pytest.mark.parametrize("representation", ["final", "pre_mlp"])
@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (3, 1), (2, 3)])
def test_equals_the_equations_written_as_loops(
    layers: int, heads: int, representation: str
) -> None:
    assert_forward_equals(model_of(layers, heads, representation), autoint(layers, heads))


def test_gradients_equal_those_of_the_loops() -> None:
    assert_gradients_equal(model_of(2, 2), autoint(2, 2))
