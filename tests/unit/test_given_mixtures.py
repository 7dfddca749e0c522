"""Mixtures that are given in place of gated ones, and mixtures without an expert."""

from __future__ import annotations

import pytest
import torch

from reclora_cli.lora.adapters import MetaAdapter
from reclora_cli.lora.attach import attach
from reclora_cli.lora.gate import GateSettings
from reclora_cli.lora.given_mixtures import GivenMixtures, weights_of
from reclora_cli.lora.meta_lora import Mixing
from reclora_cli.lora.without_expert import without_expert


def test_the_others_share_what_the_expert_had() -> None:
    weights = torch.tensor([[[0.5, 0.3, 0.2]]])
    assert without_expert(weights, 0).tolist()[0][0] == pytest.approx([0.0, 0.6, 0.4])


def test_an_expert_of_weight_0_leaves_the_others_bit_for_bit() -> None:
    weights = torch.tensor([[[0.7, 0.0, 0.3]]]) * 0.9999999
    assert torch.equal(without_expert(weights, 1), weights)


def test_an_expert_that_had_all_leaves_an_even_mixture() -> None:
    weights = torch.tensor([[[0.0, 1.0, 0.0]]])
    assert without_expert(weights, 1).tolist()[0][0] == [0.5, 0.0, 0.5]


def test_weights_still_sum_to_1_at_every_projection() -> None:
    stream = torch.Generator().manual_seed(3)
    weights = torch.softmax(torch.randn(6, 50, 4, generator=stream) * 8, -1)
    assert weights[..., 2].max() > 0.9999
    left = without_expert(weights, 2)
    torch.testing.assert_close(left.sum(-1), torch.ones(6, 50))
    assert (left[..., 2] == 0).all()


def test_of_a_core_the_expert_neither_reads_nor_writes() -> None:
    core = torch.tensor([[[[0.3, -0.1], [0.2, 0.4]]]])  # Rows sum to .4 and .6.
    left = without_expert(core, 0)
    assert left.tolist() == [[[[0.0, 0.0], [0.0, pytest.approx(1.0)]]]]


def test_of_a_core_rows_keep_their_new_weights() -> None:
    core = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(4))
    core = core / core.abs().sum(dim=(-1, -2), keepdim=True)
    left = without_expert(core, 1)
    torch.testing.assert_close(weights_of(left), without_expert(weights_of(core), 1))


class Two(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(6, 6), torch.nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


@pytest.mark.parametrize("mixing", ["product", "weights", "full"])
def test_given_mixtures_compute_what_the_gate_would_have(mixing: Mixing) -> None:
    model = Two()
    settings = GateSettings(input_width=5, hidden=4)
    meta = attach(
        model, experts=3, rank=2, targets=["first", "second"], mixing=mixing, gate=settings
    )
    with torch.no_grad():
        for parameter in meta.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    meta.eval()
    stream = torch.Generator().manual_seed(2)
    told, x = (torch.randn(4, width, generator=stream) for width in (5, 6))
    adapter = MetaAdapter(meta)
    mixtures = adapter.mixture(told).detach()
    given = GivenMixtures(adapter, mixtures)
    numbers = torch.tensor([[2.0], [0.0], [0.0], [3.0]])
    with torch.no_grad():
        with adapter.personalised(told[[2, 0, 0, 3]]):
            gated = model(x)
        with given.personalised(numbers):
            said = model(x)
    torch.testing.assert_close(said, gated, rtol=0, atol=1e-5)
    weights = given.gate_weights(numbers)
    assert weights is not None
    expected = adapter.gate_weights(told[[2, 0, 0, 3]])
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-5)
    assert given.projections() == ["first", "second"]
