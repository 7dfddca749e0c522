"""Blocks of the CRMs, each against what it must do."""

from __future__ import annotations

import pytest
import torch

from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.blocks.mlp import Mlp
from reclora_cli.crm.blocks.pooling import pool
from reclora_cli.crm.blocks.target_attention import TargetAttention
from reclora_cli.crm.blocks.unseen import UnseenDropout

ROWS, FIELDS, LENGTH, WIDTH, CONTEXT = 5, 4, 7, 6, 3


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_padding_is_embedded_as_zeros_and_never_learns() -> None:
    embedding = FieldEmbedding(10, WIDTH)

    (embedding(torch.tensor([[0, 3]])) + 1).square().sum().backward()

    assert torch.equal(embedding(torch.tensor(0)), torch.zeros(WIDTH))
    assert torch.equal(embedding.table.weight.grad[0], torch.zeros(WIDTH))
    assert embedding.table.weight.grad[3].abs().sum() > 0


def test_the_mlp_drops_units_in_training_only() -> None:
    mlp = Mlp(WIDTH, (32,), dropout=0.5)
    x = torch.ones(1, WIDTH)

    assert not torch.equal(mlp(x), mlp(x))
    mlp.eval()
    assert torch.equal(mlp(x), mlp(x))
    assert mlp.width == 32


@pytest.mark.parametrize("layers", [(8,), (8, 5)])
def test_split_attention_equals_the_layer_on_the_concatenation(layers: tuple[int, ...]) -> None:
    attention = TargetAttention(WIDTH, CONTEXT, layers).double()
    q, k = torch.randn(ROWS, WIDTH).double(), torch.randn(ROWS, LENGTH, WIDTH).double()
    c, mask = torch.randn(ROWS, LENGTH, CONTEXT).double(), torch.ones(ROWS, LENGTH).bool()
    repeated = q[:, None].expand_as(k)
    whole = torch.cat([repeated, k, repeated - k, repeated * k, c], dim=2)

    expected = attention.rest(torch.relu(attention.first(whole))).squeeze(-1)

    torch.testing.assert_close(attention(q, k, c, mask), expected)


def test_behaviours_that_are_not_there_get_no_weight() -> None:
    attention = TargetAttention(WIDTH, CONTEXT, (8,))
    mask = torch.arange(LENGTH)[None] < torch.tensor([[3], [0]])

    weights = attention(
        torch.randn(2, WIDTH), torch.randn(2, LENGTH, WIDTH), torch.randn(2, LENGTH, CONTEXT), mask
    )

    assert torch.equal(weights != 0, mask)


def test_pooling_is_the_weighted_sum_of_each_value() -> None:
    weights = torch.randn(ROWS, LENGTH)
    one, other = torch.randn(ROWS, LENGTH, 2), torch.randn(ROWS, LENGTH, 3)
    expected = torch.zeros(ROWS, 5)
    for row in range(ROWS):
        for at in range(LENGTH):
            expected[row] += weights[row, at] * torch.cat([one[row, at], other[row, at]])

    torch.testing.assert_close(pool(weights, one, other), expected)


def _unseen(user_chance: float, item_chance: float) -> UnseenDropout:
    """Fields: user, age | item, genre; 1, 4, 7, 10 are unknown, ages and genres are shared."""
    rare = torch.tensor([i in {2, 3, 8, 9} for i in range(13)])
    return UnseenDropout(
        rare, torch.tensor([1, 4, 7, 10]), 2, user_chance=user_chance, item_chance=item_chance
    )


FIELDS_OF_TWO_ROWS = torch.tensor([[2, 5, 8, 11], [3, 6, 9, 12]])


def test_a_user_read_as_unseen_keeps_what_others_share() -> None:
    found = _unseen(user_chance=1.0, item_chance=0.0)(FIELDS_OF_TWO_ROWS)

    assert found.tolist() == [[1, 5, 8, 11], [1, 6, 9, 12]]


def test_an_item_read_as_unseen_keeps_what_others_share() -> None:
    found = _unseen(user_chance=0.0, item_chance=1.0)(FIELDS_OF_TWO_ROWS)

    assert found.tolist() == [[2, 5, 7, 11], [3, 6, 7, 12]]


def test_users_are_read_as_unseen_as_often_as_asked() -> None:
    found = _unseen(user_chance=0.3, item_chance=0.0)(FIELDS_OF_TWO_ROWS.repeat(10_000, 1))

    share = (found[:, 0] == 1).double().mean().item()
    assert share == pytest.approx(0.3, abs=0.02)


def test_nobody_is_read_as_unseen_in_evaluation() -> None:
    found = _unseen(user_chance=0.9, item_chance=0.9).eval()(FIELDS_OF_TWO_ROWS)

    assert torch.equal(found, FIELDS_OF_TWO_ROWS)
