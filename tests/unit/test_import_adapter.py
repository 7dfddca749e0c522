"""A PEFT LoRA as the start of a tuning: the same scores before the first step, or a refusal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load, save_file

from reclora_cli import recipe as recipes
from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.pipeline import graph
from reclora_cli.recipe import Recipe, delta
from reclora_cli.stages import finetune, locate, runs
from reclora_cli.workspace import Workspace
from tests.tuned_runs import USER, exported, titles, told
from tests.world import TinyWorld


def started(world: TinyWorld, folder: Path, **changes: Any) -> Recipe:
    return delta.changed(world.recipe, {"adapter.start": str(folder), **changes})


@pytest.fixture
def copied(tuned: TinyWorld, tmp_path: Path) -> TinyWorld:
    root = shutil.copytree(tuned.workspace.root, tmp_path / "ws")
    return TinyWorld(tuned.raw, tuned.recipe, Workspace(root))


def test_a_tuning_goes_on_from_an_export(copied: TinyWorld, tmp_path: Path) -> None:
    exported(copied, tmp_path / "lora", "lora-r2")
    tiny = {"finetune.learning_rate": 1e-9, "finetune.gate_learning_rate": 1e-9}
    recipe = started(copied, tmp_path / "lora", **tiny)
    result = finetune.run(recipe, copied.workspace, device="cpu")
    unmoved, origin = told(copied, result.run), told(copied, "lora-r2")
    assert unmoved.probability == pytest.approx(origin.probability, abs=1e-5)
    bare = finetune.run(delta.changed(copied.recipe, tiny), copied.workspace, device="cpu")
    assert abs(told(copied, bare.run).probability - origin.probability) > 1e-3
    assert finetune.run(recipe, copied.workspace, device="cpu").up_to_date


def test_the_start_s_content_names_the_run_and_not_its_place(
    copied: TinyWorld, tmp_path: Path
) -> None:
    exported(copied, tmp_path / "a", user=USER, average=True, rank=2)
    exported(copied, tmp_path / "b", user=USER, item=titles(copied)[0], rank=2)
    names = [
        locate.run(started(copied, tmp_path / folder), copied.workspace).name for folder in "ab"
    ]
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    names.append(locate.run(started(copied, tmp_path / "c"), copied.workspace).name)
    plain = locate.run(copied.recipe, copied.workspace).name
    assert names[0] == names[2]
    assert len({*names, plain}) == 3


def test_a_finished_run_needs_its_start_no_more(copied: TinyWorld, tmp_path: Path) -> None:
    exported(copied, tmp_path / "start", user=USER, average=True, rank=2)
    result = finetune.run(started(copied, tmp_path / "start"), copied.workspace, device="cpu")
    shutil.rmtree(tmp_path / "start")
    assert 0 < told(copied, result.run).probability < 1
    exported(copied, tmp_path / "again", result.run, user=USER, average=True)


def test_two_recipes_are_told_apart_though_a_start_is_gone(
    copied: TinyWorld, tmp_path: Path
) -> None:
    now, before = copied.recipe, started(copied, tmp_path / "gone")
    assert runs.differing(before, now) == [f"adapter.start: {tmp_path / 'gone'} -> None"]
    assert runs.differing(before, before) == []


def test_a_start_of_another_base_is_refused_with_both_names(
    copied: TinyWorld, tmp_path: Path
) -> None:
    exported(copied, tmp_path / "own", user=USER, average=True, rank=2)
    exported(copied, tmp_path / "named", "lora-r2")
    for name, metadata in (("own", {"reclora.base_model": "llama@other"}), ("named", None)):
        file = tmp_path / name / "adapter_model.safetensors"
        save_file(load(file.read_bytes()), file, metadata=metadata)
    config = tmp_path / "named" / "adapter_config.json"
    content = json.loads(config.read_text())
    for name, base in (("own", "llama@other"), ("named", "meta-llama/Llama-2-7b-hf")):
        config.write_text(json.dumps(content | {"base_model_name_or_path": base}))
        with pytest.raises(RecloraError, match=rf"trained in {base}, the LM is"):
            finetune.run(started(copied, tmp_path / name), copied.workspace, device="cpu")
    config.write_text(json.dumps(content | {"base_model_name_or_path": "hub/tiny-llama"}))
    run = finetune.run(started(copied, tmp_path / "named"), copied.workspace, device="cpu")
    assert run.steps > 0, "the same last part of the name is the same model"


def test_a_start_of_a_larger_rank_is_refused_before_a_step(
    copied: TinyWorld, tmp_path: Path
) -> None:
    exported(copied, tmp_path / "x", user=USER, average=True)
    recipe = started(copied, tmp_path / "x")
    for dry_run in (True, False):
        with pytest.raises(RecloraError, match=r"rank 8 in the adapter, adapter\.rank 2"):
            finetune.run(recipe, copied.workspace, device="cpu", dry_run=dry_run)


def test_a_start_that_is_missing_is_told_before_anything_runs(copied: TinyWorld) -> None:
    recipe = started(copied, Path("/no/such"))
    with pytest.raises(MissingInputError, match="no such folder"):
        finetune.run(recipe, copied.workspace, device="cpu")
    shutil.rmtree(copied.workspace.dataset("ml-1m") / "index")
    with pytest.raises(MissingInputError, match="no such folder"):
        graph.ensure("finetune", recipe, copied.workspace, device="cpu")
    assert not (copied.workspace.dataset("ml-1m") / "index").exists()


def test_a_start_in_a_recipe_file_is_beside_that_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: ml-1m\nadapter: {start: loras/a}\n")
    loaded = recipes.load(tmp_path / "mine.yaml")
    assert loaded.adapter.start == str(tmp_path / "loras" / "a")


def test_a_start_under_set_is_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = recipes.load("ml-1m", overrides=["adapter.start=loras/a"])
    assert loaded.adapter.start == str(tmp_path / "loras" / "a")
