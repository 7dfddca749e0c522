"""What sets one CRM apart from another."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from reclora_cli import catalog
from reclora_cli import recipe as recipes
from reclora_cli.crm.base import Crm, build
from reclora_cli.crm.batch import CrmBatch
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.texts import VectorTexts

SHAPE = FeatureShape(size=40, fields=3, item_field=1, text=5)
READ_TIME = {"caser", "gru4rec", "sasrec", "sim"}
ROWS, LENGTH = 4, 6
GRID = {
    "autoint": [
        {"autoint.layers": layers, "autoint.width": width, "autoint.heads": 1}
        for layers in (3, 12)
        for width in (64, 256)
    ],
    "caser": [
        {"caser.vertical": vertical, "caser.horizontal": horizontal, "dnn_layers": [64]}
        for vertical in (2, 8)
        for horizontal in (4, 16)
    ],
    "ctr-bert": [{"dnn_layers": [256] * layers} for layers in (1, 3)],
    "dcnv2": [{"dcnv2.cross_layers": layers, "dnn_layers": [128] * layers} for layers in (3, 12)],
    "deepfm": [{"dnn_layers": [256] * layers} for layers in (3, 12)],
    "din": [{"attention_layers": [64] * layers} for layers in (1, 3)],
    "gru4rec": [
        {"gru4rec.layers": layers, "gru4rec.width": width}
        for layers in (1, 3)
        for width in (64, 256)
    ],
    "sasrec": [
        {"sasrec.layers": layers, "sasrec.heads": heads, "sasrec.width": width}
        for layers in (1, 3)
        for heads in (1, 4)
        for width in (64, 256)
    ],
    "sim": [{"attention_layers": [64] * layers} for layers in (1, 3)],
}


def made(name: str, **settings: object) -> Crm:
    values = {f"crm.{key}": value for key, value in settings.items()}
    recipe = recipes.load("base", values={"crm.model": name, **values}).crm
    torch.manual_seed(0)
    return build(SHAPE, recipe)


def batch(dtype: torch.dtype = torch.float32) -> CrmBatch:
    stream = torch.Generator().manual_seed(1)
    ids = torch.randint(1, SHAPE.size, (3, ROWS, LENGTH), generator=stream)
    user, item = (torch.randn(ROWS, n * SHAPE.text, generator=stream, dtype=dtype) for n in (2, 1))
    present = torch.ones(ROWS, LENGTH, dtype=torch.bool)
    ages = torch.arange(LENGTH, 0, -1).expand(ROWS, -1)
    return CrmBatch(ids[0][:, :3], ids[1], ids[2], ages, present, VectorTexts(user, item))


@pytest.mark.parametrize("name", list(catalog.CRMS))
def test_sequential_models_read_the_order_of_behaviours_and_the_others_do_not(name: str) -> None:
    model, told = made(name).double().eval(), batch(torch.float64)
    turned = dataclasses.replace(
        told, items_BL=told.items_BL.flip(1), ratings_BL=told.ratings_BL.flip(1)
    )

    same = torch.allclose(model(told), model(turned), rtol=1e-9, atol=1e-12)

    assert same == (name not in READ_TIME)


@pytest.mark.parametrize("name", list(catalog.CRMS))
def test_dropout_acts_in_training_only(name: str) -> None:
    model, told = made(name, dropout=0.5), batch()

    assert not torch.equal(model(told), model(told))
    model.eval()
    assert torch.equal(model(told), model(told))


@pytest.mark.parametrize(
    ("name", "settings"), [(name, settings) for name, grid in GRID.items() for settings in grid]
)
def test_the_ends_of_the_papers_grids_can_be_built(name: str, settings: dict[str, object]) -> None:
    model = made(name, embedding=32, history=LENGTH, **settings)

    assert model(batch()).isfinite().all()


def test_every_model_of_the_catalogue_has_its_grid_here() -> None:
    assert set(GRID) == set(catalog.CRMS)


def test_models_that_cross_fields_beside_the_mlp_show_it_in_their_representation() -> None:
    widths = {name: made(name).representation_width for name in catalog.CRMS}

    fields, width = (SHAPE.fields + 2), 32
    assert widths["dcnv2"] == 256 + fields * width
    assert widths["autoint"] == 256 + fields * 64
    assert {widths[name] for name in set(widths) - {"dcnv2", "autoint"}} == {256}


def test_casers_image_is_as_long_as_its_tallest_filter() -> None:
    model = made("caser", history=2, **{"caser.heights": [5]})

    assert model(batch()).isfinite().all()


def test_the_gru_drops_nothing_between_the_layers_of_one_layer() -> None:
    assert made("gru4rec").get_submodule("recurrent").dropout == 0.0
    assert made("gru4rec", **{"gru4rec.layers": 2}).get_submodule("recurrent").dropout == 0.1
