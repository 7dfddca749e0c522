"""Experiments: every shipped one is loaded at every size, and what is wrong with one is told."""

from __future__ import annotations

import re
from typing import Any

import pytest

from reclora_cli import catalog
from reclora_cli.errors import UsageError
from reclora_cli.pipeline import grid
from reclora_cli.pipeline.grid_variants import of_variants
from reclora_cli.recipe.experiment import (
    SIZES,
    CellRecipe,
    cell_recipe,
    experiment_from,
    experiment_names,
    load_experiment,
)

ALL = ("figure-4", "figure-5", "figure-6", "table-1", "table-2", "table-3", "table-4")
OF_NEXT = ("figure-alignment", "ilora", "ilora-experts", "ilora-gate", "ilora-projections")
AXIS = {"key": "adapter.experts", "title": "K", "point": "K = {}"}
SMALLEST: dict[str, Any] = {
    "title": "t",
    "layout": "ablation",
    "cells": [{"label": "a"}, {"label": "b", "variant": "uniform-gate"}],
    "sizes": {"tiny": {"recipes": ["ml-100k"]}},
}


def test_the_shipped_experiments_are_these() -> None:
    assert {*experiment_names()} == {*ALL, *OF_NEXT}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", SIZES)
def test_every_cell_of_every_size_is_a_recipe(name: str, size: str) -> None:
    for one in grid.shipped(name, size):
        assert one.base.data.source in {"ml-100k", "ml-1m", "ml-25m", "goodreads"}
        for cell in one.cells:
            assert len(cell.recipes) == 1


@pytest.mark.parametrize("name", OF_NEXT)
@pytest.mark.parametrize("size", ["tiny", "laptop"])
def test_every_cell_of_the_task_next_is_a_recipe_of_it(name: str, size: str) -> None:
    [one] = grid.shipped(name, size)
    assert one.task == "next"
    assert {recipe.task for cell in one.cells for recipe in cell.recipes} == {"next"}
    with pytest.raises(UsageError, match="has no size 'paper'"):
        grid.shipped(name, "paper")


def test_experts_share_one_rank_and_the_even_gate_is_plain_lora() -> None:
    [one] = grid.shipped("ilora-experts", "tiny")
    plain, *cut = [cell.recipes[0].adapter for cell in one.cells]
    assert (plain.kind, plain.rank, plain.alpha / plain.rank) == ("lora", 8, 4.0)
    for adapter in cut:
        assert adapter.experts * adapter.rank == 8
        # An even gate of 1 / K times alpha / (8 / K).
        assert adapter.alpha / adapter.rank / adapter.experts == 4.0
    assert [adapter.experts for adapter in cut] == [2, 4, 8]


def test_gates_differ_in_what_they_read_and_how_many_there_are() -> None:
    [one] = grid.shipped("ilora-gate", "tiny")
    told = [(cell.recipes[0].gate.input, cell.recipes[0].gate.scope) for cell in one.cells]
    assert told == [
        ("row", "shared"),
        ("row", "projection"),
        ("shuffled", "shared"),
        ("random", "shared"),
        ("none", "shared"),
    ]


def test_table_3_varies_what_the_paper_varies() -> None:
    [one] = grid.shipped("table-3", "tiny")
    told = [
        (recipe.adapter.kind, recipe.adapter.rank, recipe.crm.behaviours, recipe.prompt.behaviours)
        for cell in one.cells
        for recipe in cell.recipes
    ]
    assert told == [
        ("meta", 8, "auto", "retrieved"),
        ("lora", 8, "auto", "retrieved"),
        ("lora", 128, "auto", "retrieved"),
        ("meta", 8, "recent", "retrieved"),
        ("meta", 8, "auto", "recent"),
        ("meta", 8, "recent", "recent"),
    ]


def test_the_paper_size_is_the_papers() -> None:
    grids = grid.shipped("table-3", "paper")
    assert [one.dataset for one in grids] == ["ml-25m", "ml-1m", "goodreads"]
    for one in grids:
        for recipe in one.recipes("run"):
            assert recipe.finetune.shots == 70_000
            assert recipe.finetune.batch_size == 256
            assert "vicuna-7b" in recipe.lm.name
            assert recipe.lm.quantisation == "8bit"


def test_a_figure_is_its_lines_crossed_with_its_values() -> None:
    [one] = grid.shipped("figure-6", "laptop")
    shots = [(cell.line, cell.x, cell.recipes[0].finetune.shots) for cell in one.cells]
    values = [256, 512, 1024]
    assert shots == [(line, value, value) for line in ("RecLoRA", "ReLLa") for value in values]
    assert {cell.recipes[0].prompt.behaviours for cell in one.cells} == {"retrieved", "mixed"}


def test_cells_of_two_experiments_that_are_one_run_have_one_recipe() -> None:
    [table], [figure] = grid.shipped("table-3", "laptop"), grid.shipped("figure-4", "laptop")
    full = table.cells[0].recipes[0]
    assert full in [cell.recipes[0] for cell in figure.cells if cell.x == 16]


def test_crms_stand_in_table_2_under_their_own_settings() -> None:
    [one] = grid.shipped("table-2", "laptop")
    deep = next(cell for cell in one.cells if cell.label == "DeepFM")
    assert deep.kind == "crm"
    assert deep.recipes[0].crm.model == "deepfm"
    assert deep.recipes[0].crm.dnn_layers == (128,) * 9


def test_a_guide_comes_with_its_own_settings() -> None:
    [one] = of_variants(["guide-din"], "laptop")
    assert one.cells[1].recipes[0].crm.model == "din"
    assert one.cells[1].recipes[0].crm.dropout == 0.0  # As ml-1m says of din.


def test_seeds_follow_the_recipes_own() -> None:
    [one] = grid.shipped("table-3", "tiny", seeds=3, overrides=["seed=5"])
    assert [recipe.seed for recipe in one.cells[1].recipes] == [5, 6, 7]
    assert one.base.seed == 5


def test_set_is_over_the_size_and_below_the_cell() -> None:
    overrides = ["finetune.shots=7", "adapter.experts=4"]
    [table] = grid.shipped("table-3", "tiny", overrides=overrides)
    assert {recipe.finetune.shots for recipe in table.recipes("run")} == {7}
    assert table.cells[2].recipes[0].adapter.rank == 32  # The variant sees it: 4 experts of 8.
    [figure] = grid.shipped("figure-4", "tiny", overrides=overrides[:1])
    assert {recipe.finetune.shots for recipe in figure.recipes("run")} == {7}
    assert [cell.recipes[0].adapter.experts for cell in figure.cells] == [1, 4, 16]


def test_another_recipe_takes_the_place_of_the_datasets() -> None:
    [one] = grid.shipped("table-3", "paper", recipe="ml-100k")
    assert one.dataset == "ml-100k"


@pytest.mark.parametrize(
    ("dataset", "label", "auc", "log_loss"),
    [
        ("ml-1m", "RecLoRA", 0.8141, 0.5248),
        ("ml-25m", "w/o long retriever", 0.8501, 0.4761),
        ("goodreads", "w/o long-short retriever", 0.6882, 0.6073),
    ],
)
def test_published_figures_are_the_papers(
    dataset: str, label: str, auc: float, log_loss: float
) -> None:
    assert load_experiment("table-3").published[dataset][label] == {
        "auc": auc,
        "log_loss": log_loss,
    }


def test_every_published_figure_belongs_to_a_cell_or_a_point() -> None:
    for name in ALL[:3] + ALL[4:]:
        experiment = load_experiment(name)
        known = {cell.label for one in grid.shipped(name, "paper") for cell in one.cells}
        for of_dataset in experiment.published.values():
            assert set(of_dataset) <= known, name


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cells": [{"label": "a"}, {"label": "a"}]}, "two cells have one label"),
        ({"reference": "c"}, "'c' is no cell"),
        ({"layout": "lines"}, "a figure of lines has an axis"),
        (
            {"axis": {"key": "adapter.experts", "title": "K", "point": "{}"}},
            "a figure of lines has an axis",
        ),
        ({"sizes": {"huge": {"recipes": ["ml-1m"]}}}, "sizes.huge"),
        ({"sizes": {"tiny": {"recipes": []}}}, "sizes.tiny.recipes"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_does_not_fit_is_told(change: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        experiment_from({**SMALLEST, **change}, where="mine.yaml")
    assert told in caught.value.what
    assert caught.value.where == "mine.yaml"


def test_unknown_names_get_the_closest_ones() -> None:
    with pytest.raises(UsageError) as caught:
        load_experiment("table-33")
    assert "table-3" in (caught.value.hint or "")
    with pytest.raises(UsageError) as caught:
        of_variants(["uniform-gat"], "tiny")
    assert "uniform-gate" in (caught.value.hint or "")
    with pytest.raises(UsageError) as caught:
        experiment_from({**SMALLEST, "cells": [{"label": "a", "crm": "dinn"}]}, where="mine.yaml")
    assert "din" in (caught.value.hint or "")


def test_a_size_that_there_is_not_is_told() -> None:
    experiment = experiment_from(SMALLEST, where="mine.yaml")
    with pytest.raises(UsageError, match="paper"):
        grid.grids_of("mine", experiment, "paper")


def test_a_setting_that_no_recipe_has_is_told() -> None:
    size = load_experiment("table-3").sizes["tiny"]
    cell = CellRecipe(label="a", settings={"adapter.expert": 4})
    with pytest.raises(UsageError, match=r"adapter\.expert"):
        cell_recipe(size, "ml-100k", cell)


def test_other_settings_have_a_folder_of_their_own() -> None:
    def name(**how: Any) -> str:
        [one] = grid.shipped("table-3", "tiny", **how)
        return one.name

    assert name() == name(recipe="ml-100k") == "table-3-tiny"
    others = [
        name(overrides=["finetune.shots=7"]),
        name(overrides=["finetune.shots=8"]),
        name(seeds=2),
        name(recipe="ml-1m"),
    ]
    assert len({*others}) == 4
    assert all(re.fullmatch(r"table-3-tiny-[0-9a-f]{6}", one) for one in others)


def test_the_names_of_many_variants_still_make_a_folder() -> None:
    [one] = of_variants(list(catalog.VARIANTS), "tiny")
    assert len(one.name) < 80


def test_a_setting_that_the_points_differ_in_is_refused() -> None:
    with pytest.raises(UsageError, match=r"finetune\.shots"):
        grid.shipped("figure-6", "tiny", overrides=["finetune.shots=99"])
    with pytest.raises(UsageError, match=r"prompt\.history"):
        grid.shipped("table-4", "tiny", overrides=["prompt.history=5"])


def test_two_cells_that_make_one_run_are_one_model() -> None:
    [one] = of_variants(["uniform-gate"], "tiny", overrides=["adapter.kind=lora"])
    assert len(one.cells) == 2
    assert len(one.models()) == 1


def test_a_crm_alone_and_the_run_that_it_guides_are_two_models() -> None:
    [one] = grid.shipped("table-2", "tiny")
    assert [kind for kind, _ in one.models()] == ["crm"] * 9 + ["run"] * 3
