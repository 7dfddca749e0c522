"""A CRM on disk: what does not fit is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reclora_cli import recipe as recipes
from reclora_cli.crm.base import build
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.storage import CONFIG, WEIGHTS, CrmConfig, load_weights, save_weights
from reclora_cli.errors import MissingInputError, RecloraError, UsageError

SHAPE = FeatureShape(size=40, fields=3, item_field=1)
RECIPE = recipes.load("base", values={"crm.dnn_layers": [8], "crm.embedding": 4}).crm
CONFIGURED = CrmConfig("retrieved", RECIPE.deciding(), SHAPE, "abc")


def test_the_configuration_comes_back(tmp_path: Path) -> None:
    CONFIGURED.write(tmp_path)

    found = CrmConfig.read(tmp_path)

    assert found == CONFIGURED
    assert (found.model, found.history) == ("sim", 60)
    assert type(found.build()).__name__ == "SIM"


def test_a_folder_without_a_crm_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no CRM here") as caught:
        CrmConfig.read(tmp_path)

    assert "reclora pretrain-crm" in str(caught.value.hint)


@pytest.mark.parametrize("content", ["{", "{}", json.dumps({"shape": {"size": 1}})])
def test_a_damaged_configuration_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(content)

    with pytest.raises(RecloraError, match="damaged") as caught:
        CrmConfig.read(tmp_path)

    assert caught.value.where == str(tmp_path / CONFIG)


def test_settings_of_another_version_are_named(tmp_path: Path) -> None:
    CONFIGURED.write(tmp_path)
    content = json.loads((tmp_path / CONFIG).read_text())
    del content["recipe"]["representation"]
    (tmp_path / CONFIG).write_text(json.dumps(content))

    with pytest.raises(
        RecloraError, match="another version: representation: Field required"
    ) as caught:
        CrmConfig.read(tmp_path)

    assert "reclora pretrain-crm --force" in str(caught.value.hint)


def test_weights_of_another_vocabulary_are_refused_by_name(tmp_path: Path) -> None:
    save_weights(build(FeatureShape(size=41, fields=3, item_field=1), RECIPE), tmp_path)

    with pytest.raises(RecloraError, match=r"another model or vocabulary: embedding.*41.*40"):
        load_weights(build(SHAPE, RECIPE), tmp_path)


def test_weights_of_another_model_are_refused_by_name(tmp_path: Path) -> None:
    other = RECIPE.model_copy(update={"model": "deepfm" if RECIPE.model != "deepfm" else "din"})
    save_weights(build(SHAPE, other), tmp_path)

    with pytest.raises(RecloraError, match="another model or vocabulary"):
        load_weights(build(SHAPE, RECIPE), tmp_path)


def test_cut_weights_are_refused(tmp_path: Path) -> None:
    save_weights(build(SHAPE, RECIPE), tmp_path)
    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[:-10])

    with pytest.raises(RecloraError, match="damaged"):
        load_weights(build(SHAPE, RECIPE), tmp_path)


def test_an_unknown_model_gets_the_closest_name() -> None:
    with pytest.raises(UsageError, match="unknown CRM 'dim'") as caught:
        build(SHAPE, RECIPE.model_copy(update={"model": "dim"}))

    assert "Did you mean" in str(caught.value.hint)


def test_saving_leaves_no_temporary_file(tmp_path: Path) -> None:
    save_weights(build(SHAPE, RECIPE), tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS]
