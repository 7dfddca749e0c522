"""The paper's grids as keys of the recipe, and recipes written as what they say differently."""

from __future__ import annotations

from pathlib import Path

import pytest

from reclora_cli import catalog
from reclora_cli.errors import UsageError
from reclora_cli.recipe import delta, grids, load


@pytest.mark.parametrize("model", list(grids.MODELS))
def test_every_value_of_every_grid_is_a_recipe(model: str) -> None:
    base = delta.changed(load("base"), {"crm.model": model})
    for key, values in grids.grid_of(model).items():
        for value in values:
            assert delta.value_at(delta.changed(base, {key: value}), key) == value


@pytest.mark.parametrize("model", list(grids.MODELS))
def test_widths_and_heads_fit_at_every_corner_of_a_grid(model: str) -> None:
    base = delta.changed(load("base"), {"crm.model": model})
    for end in (0, -1):
        corner = {key: values[end] for key, values in grids.grid_of(model).items()}
        assert delta.changed(base, corner).crm.model == model


@pytest.mark.parametrize("model", list(grids.MODELS))
def test_what_is_searched_decides_the_model(model: str) -> None:
    base = delta.changed(load("base"), {"crm.model": model})
    for key, values in grids.grid_of(model).items():
        decided = [delta.changed(base, {key: value}).crm.deciding() for value in values]
        assert all(decided.count(one) == 1 for one in decided), key


@pytest.mark.parametrize(
    ("model", "combinations"),
    # 2 embeddings x 3 dropouts x 3 learning rates x 5 batch sizes = 90 times the model's own.
    [
        ("deepfm", 90 * 8),
        ("autoint", 90 * 4 * 3),
        ("dcnv2", 90 * 8 * 4),
        ("gru4rec", 90 * 3 * 3 * 3),
        ("caser", 90 * 3 * 3 * 9),
        ("sasrec", 90 * 3 * 3 * 3 * 9),
        ("din", 90 * 3 * 9),
        ("sim", 90 * 3 * 9),
    ],
)
def test_a_grid_has_as_many_combinations_as_the_paper_lists(model: str, combinations: int) -> None:
    assert grids.combinations(grids.grid_of(model)) == combinations


def test_every_grid_is_of_a_model_there_is() -> None:
    assert set(grids.MODELS) <= set(catalog.CRMS)


def test_what_is_held_is_not_searched() -> None:
    assert "crm.batch_size" not in grids.grid_of("din", held=["crm.batch_size"])
    assert set(grids.grid_of("sasrec", held=["crm.sasrec"])) == {
        *("crm.embedding", "crm.dropout", "crm.learning_rate", "crm.batch_size"),
        "crm.dnn_layers",
    }
    with pytest.raises(UsageError, match="fixes everything"):
        grids.grid_of("din", held=["crm"])


def test_a_model_without_a_grid_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="searched no grid for 'dim'") as caught:
        grids.grid_of("dim")

    assert "din" in str(caught.value.hint)


def test_a_recipe_comes_back_from_what_it_says_differently(tmp_path: Path) -> None:
    recipe = load(
        "ml-1m",
        values={"crm.model": "din", "crm.dnn_layers": [64, 64], "seed": 3, "data.warm_up": 2},
    )
    file = tmp_path / "tuned-din.yaml"
    file.write_text(delta.delta_yaml(recipe, "ml-1m", "two\nlines"))

    text = file.read_text()
    assert text.startswith("# two\n# lines\nextends: ml-1m\nseed: 3\n")
    assert "dropout" not in text
    assert load(file) == recipe
