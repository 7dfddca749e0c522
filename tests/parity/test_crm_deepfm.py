"""DeepFM against the paper's equations written as loops, with the model's weights copied."""

from __future__ import annotations

import numpy as np
import pytest

from reclora_cli.crm.batch import CrmBatch
from tests.parity.loops import (
    Told,
    Weights,
    assert_forward_equals,
    assert_gradients_equal,
    fields_and_mean_history,
    predict,
    small_model,
)


def deepfm(w: Weights, batch: CrmBatch, row: int) -> Told:
    """One row, pair by pair of fields."""
    fields = fields_and_mean_history(w["embedding.table.weight"], batch, row)
    first = fields_and_mean_history(w["first_order.table.weight"], batch, row)
    logit = sum(float(weight[0]) for weight in first)
    for i in range(len(fields)):
        for j in range(i + 1, len(fields)):
            logit += float(np.dot(fields[i], fields[j]))
    return predict(w, np.concatenate(fields), logit=logit)


@pytest.mark.parametrize("representation", ["final", "pre_mlp"])
def test_equals_the_equations_written_as_loops(representation: str) -> None:
    assert_forward_equals(small_model("deepfm", representation=representation), deepfm)


def test_gradients_equal_those_of_the_loops() -> None:
    assert_gradients_equal(small_model("deepfm"), deepfm)
