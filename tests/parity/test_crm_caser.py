"""Caser against the paper's convolutions written as loops, with the model's weights copied."""

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
    behaviours_of,
    dense,
    fields_of,
    predict,
    relu,
    small_model,
)

HEIGHTS = [1, 3]


def image_of(w: Weights, batch: CrmBatch, row: int, length: int) -> list[Vector]:
    """The latest ``length`` behaviours, with zeros in front."""
    past = [np.concatenate(pair) for pair in behaviours_of(w["embedding.table.weight"], batch, row)]
    width = 2 * w["embedding.table.weight"].shape[1]
    missing = max(length - len(past), 0)
    return [np.zeros(width)] * missing + past[max(len(past) - length, 0) :]


def horizontal(w: Weights, image: list[Vector], at: int, height: int) -> list[float]:
    """Each filter's largest answer over all windows of ``height`` successive behaviours."""
    weight = w[f"horizontal.by_height.{at}.weight"]  # (filters, width, height)
    bias = w[f"horizontal.by_height.{at}.bias"]
    largest = []
    for number in range(len(weight)):
        answers = []
        for start in range(len(image) - height + 1):
            total = bias[number]
            for line in range(height):
                total += float(np.dot(weight[number, :, line], image[start + line]))
            answers.append(max(total, 0.0))
        largest.append(max(answers))
    return largest


def vertical(w: Weights, image: list[Vector]) -> list[float]:
    """Each filter's weighted sum of all lines."""
    found: list[float] = []
    for weights in w["vertical.over_time.weight"]:
        total = np.zeros_like(image[0])
        for weight, line in zip(weights, image, strict=True):
            total = total + weight * line
        found += list(total)
    return found


def caser(history: int) -> Reference:
    """One row, filter by filter, window by window."""

    def told(w: Weights, batch: CrmBatch, row: int) -> Told:
        image = image_of(w, batch, row, max(history, *HEIGHTS))
        found: list[float] = []
        for at, height in enumerate(HEIGHTS):
            found += horizontal(w, image, at, height)
        sequence = relu(dense(w, "join", found + vertical(w, image)))
        fields = fields_of(w["embedding.table.weight"], batch, row)
        return predict(w, np.concatenate([*fields, sequence]))

    return told


def model_of(history: int, representation: str = "final") -> Crm:
    own = {"caser.horizontal": 3, "caser.vertical": 2, "caser.heights": HEIGHTS}
    return small_model("caser", history=history, representation=representation, **own)


@pytest.mark.parametrize("representation", ["final", "pre_mlp"])
@pytest.mark.parametrize("history", [2, LENGTH - 1, LENGTH, LENGTH + 2])
def test_equals_the_convolutions_written_as_loops(history: int, representation: str) -> None:
    assert_forward_equals(model_of(history, representation), caser(history))


def test_gradients_equal_those_of_the_loops() -> None:
    assert_gradients_equal(model_of(LENGTH), caser(LENGTH))
