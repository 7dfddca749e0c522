"""DIN and SIM against the paper's equations written as loops, with the model's weights copied."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.target_attention import TargetAttention
from tests.parity.loops import (
    SHAPE,
    Told,
    Weights,
    assert_forward_equals,
    assert_gradients_equal,
    behaviours_of,
    dense,
    fields_of,
    layers_below,
    predict,
    relu,
    small_model,
)


def din(w: Weights, batch: CrmBatch, row: int) -> Told:
    """One row, behaviour by behaviour, on the concatenation that the first layer is defined on."""
    table = w["embedding.table.weight"]
    fields = fields_of(table, batch, row)
    q = fields[SHAPE.item_field]
    items, ratings = np.zeros_like(q), np.zeros_like(q)
    for k, r in behaviours_of(table, batch, row):
        hidden = np.concatenate([q, k, q - k, q * k, r])
        *inner, last = layers_below(w, "attention.")
        for layer in inner:
            hidden = relu(dense(w, layer, hidden))
        weight = dense(w, last, hidden)[0]
        items, ratings = items + weight * k, ratings + weight * r
    return predict(w, np.concatenate([*fields, items, ratings]))


@pytest.mark.parametrize("representation", ["final", "pre_mlp"])
@pytest.mark.parametrize("name", ["din", "sim"])
def test_equals_the_equations_written_as_loops(name: str, representation: str) -> None:
    model = small_model(name, attention_layers=[6, 5], representation=representation)

    assert_forward_equals(model, din)


@pytest.mark.parametrize("layers", [[6], [6, 5]])
def test_gradients_equal_those_of_the_loops(layers: list[int]) -> None:
    assert_gradients_equal(small_model("din", attention_layers=layers), din)


@pytest.mark.parametrize("layers", [(64,), (64, 32)])
def test_the_split_first_layer_equals_the_plain_one_and_so_do_its_gradients(
    layers: tuple[int, ...],
) -> None:
    """In single precision, at the sizes of the recipe."""
    torch.manual_seed(0)
    rows, length, width = 32, 60, 32
    attention = TargetAttention(width, width, layers)
    q = torch.randn(rows, width, requires_grad=True)
    k = torch.randn(rows, length, width, requires_grad=True)
    contexts = torch.randn(6, width, requires_grad=True)
    which = torch.randint(0, len(contexts), (rows, length))
    context, carried = contexts[which], torch.nn.functional.one_hot(which).float()
    mask = torch.arange(length)[None] < torch.randint(0, length + 1, (rows, 1))
    repeated = q[:, None].expand_as(k)
    whole = torch.cat([repeated, k, repeated - k, repeated * k, context], dim=2)

    plain = attention.rest(torch.relu(attention.first(whole))).squeeze(-1) * mask
    split = attention(q, k, contexts, carried, mask)

    torch.testing.assert_close(split, plain, rtol=1e-5, atol=1e-5)
    learnt = [q, k, contexts, *attention.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(split.square().mean(), learnt),
        torch.autograd.grad(plain.square().mean(), learnt),
        rtol=1e-5,
        atol=1e-5,
    )
