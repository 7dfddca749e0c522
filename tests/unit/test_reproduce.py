"""``finetune --from-run``: a run tuned again from its folder, and held against the first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from reclora_cli import recipe as recipes
from reclora_cli.errors import CheckError, MissingInputError, UsageError
from reclora_cli.pipeline import graph
from reclora_cli.recipe import delta
from reclora_cli.stages import lm_training, locate, reproduce, runs
from reclora_cli.stages.finetune import FinetuneResult
from reclora_cli.workspace import Workspace
from tests.finetuning import Listening, adapter_of, copied, same, tuned
from tests.world import TinyWorld


@pytest.fixture
def world(ready_to_tune: TinyWorld, tmp_path: Path) -> TinyWorld:
    return copied(ready_to_tune, tmp_path / "ws")


def again(folder: Path, world: TinyWorld, **options: Any) -> FinetuneResult:
    return reproduce.run(
        reproduce.recipe_of(folder), world.workspace, source=folder, device="cpu", **options
    )


def test_a_run_of_this_workspace_is_tuned_again_beside_it_and_found_the_same(
    world: TinyWorld,
) -> None:
    first = tuned(world.recipe, world)
    folder = reproduce.folder_of(world.workspace, first.run[:-3])
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    result = again(folder, world)

    assert result.reproduction is not None
    assert result.reproduction.same
    assert result.reproduction.tensors == len(adapter_of(first))
    assert result.reproduction.first_differing_step is None
    assert result.artefact != first.artefact
    assert same(adapter_of(result), adapter_of(first))
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before
    told = again(folder, world)
    assert told.up_to_date
    assert told.reproduction == result.reproduction
    assert [run.name for run in runs.finished(world.workspace, "ml-1m")] == [first.run]


def test_a_run_of_another_workspace_is_reproduced_by_what_it_reads(
    world: TinyWorld, tmp_path: Path
) -> None:
    first = tuned(world.recipe, world)
    sent = Path(shutil.copytree(first.artefact, tmp_path / "sent" / "their-run"))
    here = TinyWorld(world.raw, world.recipe, Workspace(tmp_path / "here"))
    from reclora_cli.stages import prepare

    recipe = reproduce.recipe_of(sent)
    prepare.run(recipe, here.workspace, given=world.raw)
    graph.ensure("reproduce", recipe, here.workspace, device="cpu")
    progress = Listening()
    result = again(sent, here, progress=progress)

    assert any("made anew" in line and "checked by content" in line for line in progress.said)
    assert result.reproduction is not None
    assert result.reproduction.same
    assert result.artefact == str(locate.run(recipe, here.workspace).path)
    assert tuned(recipe, here).up_to_date, "it is an ordinary run here"


def test_another_crm_is_found_by_what_it_says(world: TinyWorld) -> None:
    first = tuned(world.recipe, world)
    weights = locate.crm(world.recipe, world.workspace).path / "model.safetensors"
    from safetensors.torch import save_file

    tensors = load_file(weights)
    save_file({name: tensor * 1.5 for name, tensor in tensors.items()}, weights)
    with pytest.raises(CheckError, match=r"the run was tuned from: R_c \(the CRM\)\n"):
        again(Path(first.artefact), world)


def test_another_lm_is_named(world: TinyWorld, tiny_lm: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(tiny_lm, tmp_path / "lm"))
    recipe = delta.changed(
        world.recipe,
        {"lm.name": str(mine), "adapter.kind": "lora", "prompt.behaviours": "recent"},
    )
    first = tuned(recipe, world)
    from tests.tiny_lm import write_tiny_lm

    write_tiny_lm(mine, seed=1)
    with pytest.raises(CheckError, match=r"tuned from: the LM\n"):
        again(Path(first.artefact), world)


def test_other_shots_are_found_before_the_lm_is_loaded(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tuned(world.recipe, world)
    file = Path(first.artefact) / runs.SHOTS_FILE
    np.save(file, np.load(file)[::-1] + 1)
    monkeypatch.setattr(lm_training.Classroom, "speaker", None)
    with pytest.raises(CheckError, match=r"other shots: \d+ of 16 are the same"):
        again(Path(first.artefact), world)


def test_an_edited_recipe_does_not_pass_for_the_runs(world: TinyWorld) -> None:
    first = tuned(world.recipe, world)
    edited = delta.changed(world.recipe, {"finetune.learning_rate": 0.5})
    (Path(first.artefact) / runs.RECIPE_FILE).write_text(recipes.to_yaml(edited))
    with pytest.raises(CheckError, match=r"finetune.learning_rate: 0.001 -> 0.5"):
        again(Path(first.artefact), world)


def test_inputs_made_anew_of_a_run_without_hashes_are_named(world: TinyWorld) -> None:
    first = tuned(world.recipe, world)
    file = Path(first.artefact) / "manifest.json"
    content = json.loads(file.read_text())
    content["figures"].pop("read")
    content["inputs"] |= {"crm": "another", "store": "another"}
    file.write_text(json.dumps(content))
    with pytest.raises(CheckError, match="its store and crm are not what it was tuned from"):
        again(Path(first.artefact), world)


def test_an_adapter_that_comes_out_otherwise_is_told_with_the_step(world: TinyWorld) -> None:
    first = tuned(world.recipe, world)
    folder = Path(first.artefact)
    [file] = (folder / "adapter").glob("*.safetensors")
    from safetensors.torch import save_file

    tensors = load_file(file)
    name = next(iter(tensors))
    tensors[name] = tensors[name] + 0.25
    save_file(tensors, file)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    lines[2]["loss"] += 1.0
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = again(folder, world).reproduction

    assert found is not None
    assert (found.same, found.differing, found.first_differing_step) == (False, 1, 3)
    assert found.largest_difference == pytest.approx(0.25, abs=1e-6)


def test_an_unfinished_run_of_elsewhere_and_a_folder_that_is_none_are_refused(
    world: TinyWorld, tmp_path: Path
) -> None:
    first = tuned(world.recipe, world)
    sent = Path(shutil.copytree(first.artefact, tmp_path / "sent"))
    (sent / "manifest.json").unlink()
    with pytest.raises(MissingInputError, match="not finished"):
        again(sent, world)
    with pytest.raises(MissingInputError, match=r"has no recipe\.yaml"):
        reproduce.folder_of(world.workspace, str(tmp_path))
    with pytest.raises(UsageError, match="no run is called 'nothing'"):
        reproduce.folder_of(world.workspace, "nothing")
