"""Blocks of the CRMs, each against what it must do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F

from reclora_cli.crm.blocks.dropout import dropout
from reclora_cli.crm.blocks.embedding import FieldEmbedding
from reclora_cli.crm.blocks.mlp import Mlp
from reclora_cli.crm.blocks.parts import by_parts
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


def test_several_look_ups_at_once_equal_one_by_one_and_so_does_the_gradient() -> None:
    table = FieldEmbedding(500, WIDTH)
    parts = [torch.tensor([[0, 3]]), torch.randint(0, 500, (900, 7)), torch.tensor([]).long()]
    factors = [torch.randn(*part.shape, WIDTH) for part in parts]

    found = table.several(*parts)
    plain = [F.embedding(part, table.table.weight, padding_idx=0) for part in parts]

    assert all(torch.equal(*pair) for pair in zip(found, plain, strict=True))
    torch.testing.assert_close(*(gradient_of(table, told, factors) for told in (found, plain)))


@pytest.mark.parametrize("width", [1, 32])
def test_pooling_where_the_vectors_lie_equals_pooling_copies_and_so_does_the_gradient(
    width: int,
) -> None:
    table = FieldEmbedding(500, width)
    items, weights = torch.randint(0, 500, (ROWS, 60)), torch.rand(ROWS, 60)
    other = torch.randint(0, 500, (ROWS, 3))
    factors = [torch.randn(ROWS, width), torch.randn(ROWS, 3, width)]

    found = table.pooled(items, weights, other)
    copied = [F.embedding(part, table.table.weight, padding_idx=0) for part in (items, other)]
    plain = [pool(weights, copied[0]), copied[1]]

    torch.testing.assert_close(list(found), plain)
    torch.testing.assert_close(*(gradient_of(table, told, factors) for told in (found, plain)))


def test_the_gradient_of_a_look_up_is_the_same_bits_every_time() -> None:
    table, part = FieldEmbedding(50, WIDTH), torch.randint(0, 50, (1024, 60))
    factors, before = [torch.randn(1024, 60, WIDTH)], torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, *others = [gradient_of(table, table.several(part), factors) for _ in range(5)]
    finally:
        torch.set_num_threads(before)

    assert all(torch.equal(first, other) for other in others)


def gradient_of(
    table: FieldEmbedding, found: Sequence[torch.Tensor], factors: Sequence[torch.Tensor]
) -> torch.Tensor:
    total = sum((factor * part).sum() for factor, part in zip(factors, found, strict=True))
    assert isinstance(total, torch.Tensor)
    return torch.autograd.grad(total, table.table.weight)[0]


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_as_many_as_it_says(chance: float) -> None:
    units = 401 * 999
    found = dropout(torch.ones(401, 999), chance, training=True)

    deviation = (chance * (1 - chance) / units) ** 0.5
    assert float((found == 0).float().mean()) == pytest.approx(chance, abs=5 * deviation)
    assert torch.unique(found).tolist() == pytest.approx([0, 1 / (1 - chance)], rel=1e-4)
    assert torch.equal(dropout(found, chance, training=False), found)


def test_neighbours_are_dropped_independently() -> None:
    """Four units share one draw: none of them tells of another."""
    dropped = dropout(torch.ones(500_000, 4), 0.3, training=True) == 0

    assert (torch.corrcoef(dropped.T.float()) - torch.eye(4)).abs().max() < 0.01


def test_parts_of_a_batch_give_what_the_batch_gives() -> None:
    x, y = torch.randn(ROWS, 3), torch.randn(ROWS, 3)

    assert torch.equal(by_parts(torch.mul, x, y, rows=2), x * y)
    assert by_parts(torch.mul, x[:0], y[:0], rows=2).shape == (0, 3)


def test_the_mlp_drops_units_in_training_only() -> None:
    mlp = Mlp(WIDTH, (32,), dropout=0.5)
    x = torch.ones(1, WIDTH)

    assert not torch.equal(mlp(x), mlp(x))
    mlp.eval()
    assert torch.equal(mlp(x), mlp(x))
    assert mlp.width == 32


@pytest.mark.parametrize("layers", [(8,), (8, 5)])
def test_split_attention_equals_the_layer_on_the_concatenation(layers: tuple[int, ...]) -> None:
    attention = TargetAttention(WIDTH, [CONTEXT], layers).double()
    q, k = torch.randn(ROWS, WIDTH).double(), torch.randn(ROWS, LENGTH, WIDTH).double()
    contexts, mask = torch.randn(2, CONTEXT).double(), torch.ones(ROWS, LENGTH).bool()
    which = torch.randint(0, 2, (ROWS, LENGTH))
    c, carried = contexts[which], torch.nn.functional.one_hot(which, 2).double()
    repeated = q[:, None].expand_as(k)
    whole = torch.cat([repeated, k, repeated - k, repeated * k, c], dim=2)

    expected = attention.rest(torch.relu(attention.first(whole))).squeeze(-1)

    torch.testing.assert_close(attention(q, k, [contexts], carried, mask), expected)


def test_behaviours_that_are_not_there_get_no_weight() -> None:
    attention = TargetAttention(WIDTH, [CONTEXT], (8,))
    mask = torch.arange(LENGTH)[None] < torch.tensor([[3], [0]])

    carried = torch.ones(2, LENGTH, 1)
    weights = attention(
        torch.randn(2, WIDTH),
        torch.randn(2, LENGTH, WIDTH),
        [torch.randn(1, CONTEXT)],
        carried,
        mask,
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
