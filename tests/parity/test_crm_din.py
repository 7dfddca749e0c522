"""DIN and SIM against the paper's equations written as loops, with the model's weights copied."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.blocks.target_attention import TargetAttention
from tests.parity.loops import (
    SHAPE,
    Told,
    Vector,
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
    return attended(w, batch, row, [[r] for _, r in behaviours_of(table, batch, row)])


def sim(w: Weights, batch: CrmBatch, row: int) -> Told:
    """As DIN, of behaviours that also carry the embedding of their age."""
    table, ages = w["embedding.table.weight"], w["age.table.weight"]
    carried = [ages[int(age)] for age in batch.ages_BL[row] if age]
    told = behaviours_of(table, batch, row)
    return attended(w, batch, row, [[r, a] for (_, r), a in zip(told, carried, strict=True)])


def attended(w: Weights, batch: CrmBatch, row: int, contexts: list[list[Vector]]) -> Told:
    table = w["embedding.table.weight"]
    fields = fields_of(table, batch, row)
    q = fields[SHAPE.item_field]
    kinds = 2 if "age.table.weight" in w else 1
    pooled = [np.zeros_like(q) for _ in range(1 + kinds)]
    for (k, _), context in zip(behaviours_of(table, batch, row), contexts, strict=True):
        hidden = np.concatenate([q, k, q - k, q * k, *context])
        *inner, last = layers_below(w, "attention.")
        for layer in inner:
            hidden = relu(dense(w, layer, hidden))
        weight = dense(w, last, hidden)[0]
        pooled = [sum_ + weight * x for sum_, x in zip(pooled, [k, *context], strict=True)]
    return predict(w, np.concatenate([*fields, *pooled]))


REFERENCES = {"din": din, "sim": sim}


@pytest.mark.parametrize("representation", ["final", "pre_mlp"])
@pytest.mark.parametrize("name", REFERENCES)
def test_equals_the_equations_written_as_loops(name: str, representation: str) -> None:
    model = small_model(name, attention_layers=[6, 5], representation=representation)

    assert_forward_equals(model, REFERENCES[name])


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("layers", [[6], [6, 5]])
def test_gradients_equal_those_of_the_loops(name: str, layers: list[int]) -> None:
    assert_gradients_equal(small_model(name, attention_layers=layers), REFERENCES[name])


@pytest.mark.parametrize("layers", [(64,), (64, 32)])
def test_the_split_first_layer_equals_the_plain_one_and_so_do_its_gradients(
    layers: tuple[int, ...],
) -> None:
    """In single precision, at the sizes of the recipe."""
    torch.manual_seed(0)
    rows, length, width = 32, 60, 32
    attention = TargetAttention(width, [width, width], layers)
    q = torch.randn(rows, width, requires_grad=True)
    k = torch.randn(rows, length, width, requires_grad=True)
    contexts = [torch.randn(kinds, width, requires_grad=True) for kinds in (6, 9)]
    which = [torch.randint(0, len(kind), (rows, length)) for kind in contexts]
    context = [kind[of] for kind, of in zip(contexts, which, strict=True)]
    carried = torch.cat(
        [F.one_hot(of, len(kind)).float() for kind, of in zip(contexts, which, strict=True)], dim=2
    )
    mask = torch.arange(length)[None] < torch.randint(0, length + 1, (rows, 1))
    repeated = q[:, None].expand_as(k)
    whole = torch.cat([repeated, k, repeated - k, repeated * k, *context], dim=2)

    plain = attention.rest(torch.relu(attention.first(whole))).squeeze(-1) * mask
    split = attention(q, k, contexts, carried, mask)

    torch.testing.assert_close(split, plain, rtol=1e-5, atol=1e-5)
    learnt = [q, k, *contexts, *attention.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(split.square().mean(), learnt),
        torch.autograd.grad(plain.square().mean(), learnt),
        rtol=1e-5,
        atol=1e-5,
    )
