"""Sequence encoders against their equations written as loops, with the models' weights copied."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from reclora_cli.crm.sequence.base import SequenceEncoder, build_encoder
from tests.parity import test_crm_caser as caser
from tests.parity import test_crm_gru4rec as gru4rec
from tests.parity import test_crm_sasrec as sasrec
from tests.parity.loops import Vector, Weights, dense, relu
from tests.sequences_world import small_recipe

ITEMS, LENGTH = 9, 5
HISTORIES = [[4, 2, 8, 0, 1], [3, 3, 7], [5], [0, 6]]

Encode = Callable[[Weights, list[Vector]], Vector]
"""Weights and the embeddings of a history in time order -> z."""


def by_attention(layers: int, heads: int) -> Encode:
    def encode(w: Weights, past: list[Vector]) -> Vector:
        sequence = [x + w["positions"][len(past) - 1 - at] for at, x in enumerate(past)]
        for layer in range(layers):
            sequence = sasrec.block(w, f"blocks.{layer}", sequence, heads)
        return sasrec.normalise(w, "norm", sequence[-1])

    return encode


def by_recurrence(w: Weights, past: list[Vector]) -> Vector:
    state = np.zeros(gru4rec.WIDTH)
    for x in past:
        state = gru4rec.step(w, 0, x, state)
    return dense(w, "join", state)


def by_convolution(w: Weights, past: list[Vector]) -> Vector:
    width = w["embedding.table.weight"].shape[1]
    image = [np.zeros(width)] * (LENGTH - len(past)) + past
    found: list[float] = []
    for at, height in enumerate(caser.HEIGHTS):
        found += caser.horizontal(w, image, at, height)
    return relu(dense(w, "join", found + caser.vertical(w, image)))


CASES = [
    pytest.param(
        {"model": "sasrec", "sasrec.layers": layers, "sasrec.heads": heads, "sasrec.width": 6},
        by_attention(layers, heads),
        id=f"sasrec-{layers}-{heads}",
    )
    for layers, heads in [(1, 1), (2, 1), (2, 3)]
] + [
    pytest.param({"model": "gru4rec", "gru4rec.width": gru4rec.WIDTH}, by_recurrence, id="gru4rec"),
    pytest.param({"model": "caser", "caser.heights": caser.HEIGHTS}, by_convolution, id="caser"),
]


def model_of(settings: dict[str, object]) -> SequenceEncoder:
    """Of double precision, with weights large enough to tell one term from another."""
    values = {f"crm.{key}": value for key, value in {"embedding": 6, **settings}.items()}
    torch.manual_seed(0)
    model = build_encoder(ITEMS, LENGTH, small_recipe(**values).crm).double().eval()
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.5)
    with torch.no_grad():
        model.embedding.table.weight[0] = 0
    return model


@pytest.mark.parametrize(("settings", "encode"), CASES)
def test_z_and_scores_equal_those_of_the_loops(settings: dict[str, object], encode: Encode) -> None:
    model = model_of(settings)
    w = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    table = w["embedding.table.weight"][1:]
    padded = [history + [-1] * (LENGTH - len(history)) for history in HISTORIES]
    z, scores = model.encode(torch.tensor(padded)), model(torch.tensor(padded))
    for row, history in enumerate(HISTORIES):
        expected = encode(w, [table[item] for item in history])
        np.testing.assert_allclose(z[row].detach().numpy(), expected, rtol=1e-9, atol=1e-12)
        of_items = [float(np.dot(expected, table[item])) for item in range(ITEMS)]
        np.testing.assert_allclose(scores[row].detach().numpy(), of_items, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("settings", "encode"), CASES)
def test_gradients_equal_finite_differences(settings: dict[str, object], encode: Encode) -> None:
    model = model_of(settings)
    padded = torch.tensor([history + [-1] * (LENGTH - len(history)) for history in HISTORIES])
    targets = torch.tensor([1, 5, 2, 8])

    def loss() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model(padded), targets)

    loss().backward()
    stream = np.random.default_rng(0)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        reached = np.argwhere(parameter.grad.abs().numpy() > 1e-9)
        assert len(reached), f"{name} gets no gradient"
        for at in stream.permutation(reached)[:3]:
            with torch.no_grad():
                entry = parameter[tuple(at)].clone()
                parameter[tuple(at)] = entry + 1e-6
                above = loss().item()
                parameter[tuple(at)] = entry - 1e-6
                below = loss().item()
                parameter[tuple(at)] = entry
            expected = (above - below) / 2e-6
            found = parameter.grad[tuple(at)].item()
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-8), (name, at)
