"""DIN and SIM against the paper's equations written as loops, with the model's weights copied."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reclora_cli import recipe as recipes
from reclora_cli.crm.base import Crm, build
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.features import FeatureShape
from reclora_cli.recipe.tree import CrmRecipe

SHAPE = FeatureShape(size=40, fields=3, item_field=1)
ROWS, LENGTH = 6, 5


def _recipe(model: str, representation: str) -> CrmRecipe:
    values = {
        "crm.model": model,
        "crm.embedding": 4,
        "crm.attention_layers": [6, 5],
        "crm.dnn_layers": [8, 7],
        "crm.representation": representation,
    }
    return recipes.load("base", values=values).crm


def _batch() -> CrmBatch:
    stream = torch.Generator().manual_seed(1)
    lengths = torch.tensor([LENGTH, 3, 1, 0, LENGTH, 2])
    mask = torch.arange(LENGTH)[None] < lengths[:, None]
    ids = torch.randint(1, SHAPE.size, (3, ROWS, LENGTH), generator=stream)
    return CrmBatch(ids[0][:, :3], ids[1] * mask, ids[2] * mask, mask)


def _dense(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return np.array([sum(w * v for w, v in zip(row, x, strict=True)) for row in weight]) + bias


def _linear_layers(module: torch.nn.Module) -> list[torch.nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]


def _naive(model: Crm, batch: CrmBatch, row: int) -> tuple[np.ndarray, np.ndarray, float]:
    """MLP input, last hidden layer and logit of one row, behaviour by behaviour."""
    table = model.get_submodule("embedding").table.weight.detach().numpy()
    fields = [table[i] for i in batch.fields_BF[row]]
    q = fields[SHAPE.item_field]
    items, ratings = np.zeros_like(q), np.zeros_like(q)
    for at in range(int(batch.mask_BL[row].sum())):
        k, r = table[batch.items_BL[row, at]], table[batch.ratings_BL[row, at]]
        hidden = np.concatenate([q, k, q - k, q * k, r])
        *inner, last = _linear_layers(model.get_submodule("attention"))
        for layer in inner:
            hidden = np.maximum(_dense(layer, hidden), 0)
        weight = _dense(last, hidden)[0]
        items, ratings = items + weight * k, ratings + weight * r
    interaction = np.concatenate([*fields, items, ratings])
    hidden = interaction
    for layer in _linear_layers(model.mlp):
        hidden = np.maximum(_dense(layer, hidden), 0)
    return interaction, hidden, float(_dense(model.output, hidden)[0])


@pytest.mark.parametrize("representation", ["final", "pre_mlp"])
@pytest.mark.parametrize("name", ["din", "sim"])
def test_equals_the_equations_written_as_loops(name: str, representation: str) -> None:
    torch.manual_seed(0)
    model = build(SHAPE, _recipe(name, representation)).double().eval()
    torch.nn.init.normal_(model.get_parameter("embedding.table.weight"))
    batch = _batch()

    encoded, logits = model.encode_and_score(batch)

    for row in range(ROWS):
        interaction, hidden, logit = _naive(model, batch, row)
        expected = hidden if representation == "final" else interaction
        np.testing.assert_allclose(encoded[row].detach().numpy(), expected, rtol=1e-9, atol=1e-12)
        assert logits[row].item() == pytest.approx(logit, rel=1e-9)
