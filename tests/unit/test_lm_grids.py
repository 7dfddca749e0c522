"""The grids that the paper searched for adapters in the LM."""

from __future__ import annotations

import pytest

from reclora_cli.recipe import delta, grids, load


@pytest.mark.parametrize(
    ("kind", "gated", "n"), [("meta", True, 96), ("meta", False, 24), ("lora", False, 18)]
)
def test_the_papers_grids_have_as_many_combinations_as_it_lists(
    kind: str, gated: bool, n: int
) -> None:
    assert grids.combinations(grids.lm_grid_of(kind, gated=gated)) == n


@pytest.mark.parametrize("kind", list(grids.LMS))
def test_every_value_of_the_papers_grids_is_a_recipe(kind: str) -> None:
    base = delta.changed(load("base"), {"adapter.kind": kind})
    for key, values in grids.lm_grid_of(kind, gated=kind == "meta").items():
        for value in values:
            assert delta.value_at(delta.changed(base, {key: value}), key) == value


def test_what_is_held_is_not_searched() -> None:
    grid = grids.lm_grid_of("meta", gated=True, held=["finetune.epochs", "gate"])
    assert set(grid) == {"finetune.batch_size", "finetune.learning_rate"}
