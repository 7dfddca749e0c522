"""Which layer each key of a recipe comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from reclora_cli import recipe
from reclora_cli.recipe.origins import AS_PREPARED, BUILT_IN, FLAG, SET


def origins(name: str | Path = "ml-1m", **layers) -> dict[str, str]:
    return recipe.load_traced(name, **layers)[1]


def leaves(tree: dict, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in tree.items():
        inner = leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else None
        found |= inner if inner is not None else {f"{prefix}{key}": value}
    return found


def test_a_default_is_of_base():
    assert origins()["gate.temperature"] == "base.yaml"


def test_what_the_datasets_recipe_says_is_its():
    assert origins()["crm.user_dropout"] == "ml-1m.yaml"


def test_settings_of_the_chosen_crm_are_of_the_file_that_says_them():
    assert origins(values={"crm.model": "din"})["crm.dnn_layers"] == "ml-1m.yaml"
    assert origins(values={"crm.model": "caser"})["crm.dnn_layers"] == "base.yaml"


def test_the_layers_above_win_in_their_order():
    layers = {"method": "rella", "preset": "paper", "llm": "vicuna-7b"}
    found = origins(**layers, overrides=["finetune.epochs=2"], values={"finetune.shots": 9})
    assert found["lm.name"] == "llms/vicuna-7b.yaml"
    assert found["gate.temperature"] == "presets/paper.yaml"
    assert found["adapter.kind"] == "methods/rella.yaml"
    assert found["finetune.epochs"] == SET
    assert found["finetune.shots"] == FLAG


def test_a_value_that_is_said_again_is_of_the_layer_that_said_it_last():
    assert origins(overrides=["seed=0"])["seed"] == SET


def test_what_a_dataset_was_prepared_under_lies_below_set():
    found = origins(prepared=['data={"core": 5}'], overrides=["data.warm_up=3"])
    assert found["data.core"] == AS_PREPARED
    assert found["data.warm_up"] == SET
    assert found["data.source"] == "ml-1m.yaml"


def test_a_file_of_ones_own_is_named_by_its_path(tmp_path: Path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: ml-1m\ngate: {temperature: 5.0}\n")
    found = origins(str(mine))
    assert found["gate.temperature"] == str(mine)
    assert found["crm.user_dropout"] == "ml-1m.yaml"


def test_a_key_that_no_file_names_is_built_in():
    steam = recipe.recipes_folder() / "examples" / "steam.yaml"
    assert "delimiter" not in steam.read_text()
    assert origins(steam)["data.tables.interactions.delimiter"] == BUILT_IN


@pytest.mark.parametrize("name", ["ml-1m", "lastfm", "ml-1m-ctr-bert"])
@pytest.mark.parametrize("method", [None, "rella", "lora-r128"])
def test_every_key_has_an_origin_and_tracing_changes_no_value(name: str, method: str | None):
    traced, found = recipe.load_traced(name, method=method)
    assert traced == recipe.load(name, method=method)
    assert set(found) == set(leaves(traced.model_dump(mode="json")))


def test_taking_a_layer_away_changes_only_keys_of_that_layer():
    # The slow oracle: a key whose value depends on the method is said to be the method's.
    with_method, found = recipe.load_traced("ml-1m", method="lora-r128")
    before, after = (
        leaves(one.model_dump(mode="json")) for one in (recipe.load("ml-1m"), with_method)
    )
    changed = {key for key in after if before[key] != after[key]}
    assert changed
    assert {found[key] for key in changed} == {"methods/lora-r128.yaml"}
