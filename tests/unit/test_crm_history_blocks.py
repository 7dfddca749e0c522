"""Blocks that read behaviours or cross fields, each against what it must do."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from reclora_cli.crm.blocks.convolution import HorizontalFilters, VerticalFilters
from reclora_cli.crm.blocks.cross import CrossNetwork, second_order
from reclora_cli.crm.blocks.pooling import (
    aligned_to_end,
    last,
    mean_weights,
    pool,
    steps_back,
)
from reclora_cli.crm.blocks.self_attention import SelfAttention, causal

ROWS, SLOTS, INTO, WIDTH = 3, 4, 5, 6
COUNTS = [4, 2, 0]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def mask() -> Tensor:
    """A full row, a half one, an empty one."""
    return torch.arange(SLOTS)[None] < torch.tensor(COUNTS)[:, None]


# -- pooling -------------------------------------------------------------------------------------


def test_the_mean_is_over_the_behaviours_that_are_there(mask: Tensor) -> None:
    values = torch.randn(ROWS, SLOTS, INTO)

    found = pool(mean_weights(mask, values), values)

    torch.testing.assert_close(found[0], values[0].mean(dim=0))
    torch.testing.assert_close(found[1], values[1, :2].mean(dim=0))
    assert torch.equal(found[2], torch.zeros(INTO))


def test_the_last_is_the_latest_behaviour_or_zeros(mask: Tensor) -> None:
    values = torch.randn(ROWS, SLOTS, INTO)

    found = last(values, mask)

    assert torch.equal(found, torch.stack([values[0, 3], values[1, 1], torch.zeros(INTO)]))


def test_steps_back_count_from_the_latest_behaviour(mask: Tensor) -> None:
    assert steps_back(mask).tolist() == [[3, 2, 1, 0], [1, 0, -1, -2], [-1, -2, -3, -4]]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (3, [[2, 3, 4], [0, 5, 6], [0, 0, 0]]),
        (4, [[1, 2, 3, 4], [0, 0, 5, 6], [0, 0, 0, 0]]),
        (6, [[0, 0, 1, 2, 3, 4], [0, 0, 0, 0, 5, 6], [0, 0, 0, 0, 0, 0]]),
    ],
)
def test_alignment_puts_the_latest_behaviour_into_the_last_slot(
    length: int, expected: list[list[int]], mask: Tensor
) -> None:
    indices = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [0, 0, 0, 0]])

    assert aligned_to_end(indices, mask, length).tolist() == expected


# -- crossings -----------------------------------------------------------------------------------


def test_second_order_is_the_sum_over_all_pairs_of_fields() -> None:
    fields = torch.randn(ROWS, SLOTS, INTO, dtype=torch.float64)

    pairs = itertools.combinations(range(SLOTS), 2)
    expected = sum((fields[:, i] * fields[:, j]).sum(dim=1) for i, j in pairs)

    torch.testing.assert_close(second_order(fields), expected)


def test_a_cross_layer_that_maps_to_ones_doubles_its_input() -> None:
    network = CrossNetwork(WIDTH, layers=2)
    for layer in network.layers:
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.ones_(layer.bias)
    x = torch.randn(ROWS, WIDTH)

    torch.testing.assert_close(network(x), 3 * x)


# -- self-attention ------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_one_query_without_keys_and_values_equals_attention_with_them(heads: int) -> None:
    attention = SelfAttention(INTO, WIDTH, heads, scale=0.7, dropout=0.0).double()
    reading = torch.randn(ROWS, INTO, dtype=torch.float64, requires_grad=True)
    read = torch.randn(ROWS, SLOTS, INTO, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(SLOTS)[None] < torch.tensor([[4], [2], [1]])
    learnt = [reading, read, *attention.parameters()]

    expected = attention(reading[:, None], read, mask[:, None, None])[:, 0]
    found = attention.of_one(reading, read, mask)

    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), learnt),
        torch.autograd.grad(expected.square().sum(), learnt),
    )


def test_causal_attention_reads_nothing_that_comes_later() -> None:
    attention = SelfAttention(INTO, WIDTH, 2, scale=1.0, dropout=0.0)
    x = torch.randn(ROWS, SLOTS, INTO)
    other = torch.cat([x[:, :2], torch.randn(ROWS, SLOTS - 2, INTO)], dim=1)
    mask = causal(SLOTS, x.device)

    told, changed = attention(x, x, mask), attention(other, other, mask)

    torch.testing.assert_close(told[:, :2], changed[:, :2])
    assert not torch.allclose(told[:, 2:], changed[:, 2:])


def test_attention_weights_are_dropped_in_training_only() -> None:
    attention = SelfAttention(INTO, WIDTH, 1, scale=1.0, dropout=0.5)
    x = torch.randn(ROWS, SLOTS, INTO)

    assert not torch.equal(attention(x, x), attention(x, x))
    attention.eval()
    assert torch.equal(attention(x, x), attention(x, x))


# -- convolutions --------------------------------------------------------------------------------


def test_a_horizontal_filter_tells_its_largest_answer_wherever_it_lies() -> None:
    """One filter, two behaviours high, that adds up the first column."""
    filters = HorizontalFilters(width=2, heights=[2], filters=1)
    [layer] = filters.by_height
    torch.nn.init.zeros_(layer.weight)
    layer.weight.data[0, 0] = 1.0
    torch.nn.init.zeros_(layer.bias)
    image = torch.zeros(3, 5, 2)
    image[0, 1, 0], image[0, 2, 0] = 2.0, 3.0
    image[1, 4, 0] = 7.0
    image[2] = -1.0

    assert filters(image).tolist() == [[5.0], [7.0], [0.0]]


def test_every_height_has_its_filters() -> None:
    filters = HorizontalFilters(width=INTO, heights=[1, 3], filters=4)

    assert filters(torch.randn(ROWS, SLOTS, INTO)).shape == (ROWS, filters.width) == (ROWS, 8)


def test_a_vertical_filter_is_a_weighted_sum_of_the_behaviours() -> None:
    filters = VerticalFilters(length=SLOTS, width=INTO, filters=2)
    image = torch.randn(ROWS, SLOTS, INTO)

    expected = torch.einsum("nh,bhv->bnv", filters.over_time.weight, image).flatten(1)

    assert filters.width == 2 * INTO
    torch.testing.assert_close(filters(image), expected)
