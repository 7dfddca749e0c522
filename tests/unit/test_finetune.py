"""``finetune`` on the tiny world with a tiny random LM: exact, repeatable, and honest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reclora_cli import recipe as recipes
from reclora_cli.errors import CheckError, MissingInputError, RecloraError, UsageError
from reclora_cli.pipeline import graph
from reclora_cli.progress import SilentProgress
from reclora_cli.recipe import Recipe, delta
from reclora_cli.stages import finetune, lm_training, locate, reproduce, runs
from reclora_cli.stages.finetune import FinetuneResult
from reclora_cli.training import lm_work as lm_work_module
from reclora_cli.workspace import Artefact, Workspace
from tests.world import TinyWorld


class Killed(Exception):
    pass


class Listening(SilentProgress):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)


@pytest.fixture(scope="module")
def ready(
    tiny_world: TinyWorld, tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyWorld:
    """The tiny world with index and CRM, which are made once. Read it only."""
    root = tmp_path_factory.mktemp("ready") / "ws"
    shutil.copytree(tiny_world.workspace.root, root)
    recipe = delta.changed(tiny_world.recipe, {"lm.name": str(tiny_lm), "gate.dropout": 0.3})
    workspace = Workspace(root)
    graph.ensure("finetune", recipe, workspace, device="cpu")
    return TinyWorld(tiny_world.raw, recipe, workspace)


@pytest.fixture
def world(ready: TinyWorld, tmp_path: Path) -> TinyWorld:
    root = shutil.copytree(ready.workspace.root, tmp_path / "ws")
    return TinyWorld(ready.raw, ready.recipe, Workspace(root))


def tuned(recipe: Recipe, world: TinyWorld, **options: Any) -> FinetuneResult:
    if recipe.lm != world.recipe.lm:  # Another index belongs to it, and another CRM to that.
        graph.ensure("finetune", recipe, world.workspace, device="cpu")
    return finetune.run(recipe, world.workspace, device="cpu", **options)


def adapter_of(result: FinetuneResult) -> dict[str, torch.Tensor]:
    [file] = (Path(result.artefact) / "adapter").glob("*.safetensors")
    return load_file(file)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def kill_after(patch: pytest.MonkeyPatch, batches: int) -> None:
    """Let the process die in the middle of a step, as ``kill -9`` would: nothing is cleaned up."""
    loss, taken = lm_work_module.answer_loss, [0]

    def dying(*arguments: Any) -> torch.Tensor:
        taken[0] += 1
        if taken[0] > batches:
            raise Killed
        return loss(*arguments)

    patch.setattr(lm_work_module, "answer_loss", dying)


# -- exactness ----------------------------------------------------------------------------------

SETTINGS: dict[str, dict[str, Any]] = {
    "experts and gate with dropout": {"adapter.dropout": 0.3},
    "weights mixing": {"adapter.mixing": "weights", "adapter.dropout": 0.1},
    "one gate for all": {"gate.scope": "shared", "gate.norm": "before"},
    "plain LoRA with dropout": {"adapter.kind": "lora", "adapter.dropout": 0.3},
    "ReLLa's mixed prompts": {"adapter.kind": "lora", "prompt.behaviours": "mixed"},
    "TALLRec's recent ones": {"adapter.kind": "lora", "prompt.behaviours": "recent"},
    "8-bit base": {"lm.quantisation": "8bit"},
    "4-bit base, plain LoRA": {"lm.quantisation": "4bit", "adapter.kind": "lora"},
    "a schedule with warm-up over epochs": {"finetune.warm_up": 0.3, "finetune.epochs": 3},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_killed_tuning_repeated_gives_the_same_adapter_bit_for_bit(
    world: TinyWorld, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = delta.changed(world.recipe, settings)
    straight = tuned(recipe, world)
    expected = adapter_of(straight)
    log = (Path(straight.artefact) / "log.jsonl").read_text()
    shutil.rmtree(straight.artefact)

    with monkeypatch.context() as patch:
        kill_after(patch, straight.steps - 1)
        with pytest.raises(Killed):
            tuned(recipe, world)
    assert locate.run(recipe, world.workspace).manifest() is None
    assert list((Path(straight.artefact) / "checkpoints").glob("step-*"))
    again = Listening()
    resumed = tuned(recipe, world, progress=again)

    assert same(adapter_of(resumed), expected)
    assert any("going on from step" in line for line in again.said)
    assert (Path(straight.artefact) / "log.jsonl").read_text() == log


def test_another_seed_gives_another_adapter(world: TinyWorld) -> None:
    one, other = (tuned(delta.changed(world.recipe, {"seed": seed}), world) for seed in (0, 0))
    assert (one.up_to_date, other.up_to_date) == (False, True)
    graph.ensure("finetune", delta.changed(world.recipe, {"seed": 1}), world.workspace)
    third = tuned(delta.changed(world.recipe, {"seed": 1}), world)
    assert not same(adapter_of(one), adapter_of(third))


# -- a changed recipe ---------------------------------------------------------------------------


def interrupted(world: TinyWorld, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Artefact:
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            tuned(recipe, world)
    found = runs.interrupted(world.workspace, "ml-1m")
    assert found is not None
    assert found.artefact.manifest() is None
    return found.artefact


def test_a_changed_recipe_starts_a_run_of_its_own_and_says_what_differs_key_by_key(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = interrupted(world, world.recipe, monkeypatch)
    other = delta.changed(world.recipe, {"finetune.learning_rate": 5e-4, "gate.temperature": 5.0})
    progress = Listening()
    result = tuned(other, world, progress=progress)

    [told] = [line for line in progress.said if "was interrupted" in line]
    assert "finetune.learning_rate: 0.001 -> 0.0005" in told
    assert "gate.temperature: 1.0 -> 5.0" in told
    assert f"reclora finetune --from-run {left.name}" in told
    assert result.run != left.name
    assert list(left.path.glob("checkpoints/step-*")), "the other run's checkpoints are untouched"


def test_going_on_with_a_run_under_another_recipe_is_refused_with_both_commands(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = interrupted(world, world.recipe, monkeypatch)
    other = delta.changed(world.recipe, {"finetune.epochs": 7})
    with pytest.raises(UsageError, match="epochs: 1 -> 7") as caught:
        reproduce.require_same_recipe(left.path, world.recipe, other, "--set finetune.epochs=7")
    assert f"reclora finetune --from-run {left.name}" in str(caught.value.hint)
    assert "--set finetune.epochs=7" in str(caught.value.hint)
    reproduce.require_same_recipe(left.path, world.recipe, world.recipe, "")


def test_checkpoints_tuned_from_another_crm_are_refused_by_name(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(world, world.recipe, monkeypatch)
    from reclora_cli.stages import pretrain_crm

    pretrain_crm.run(world.recipe, world.workspace, device="cpu", force=True)
    with pytest.raises(RecloraError, match=r"inputs:\n  inputs.crm: \w+ -> \w+\nUndo") as caught:
        tuned(world.recipe, world)
    assert "--force" in str(caught.value.hint)
    assert tuned(world.recipe, world, force=True).steps == 4


# -- reproducing --------------------------------------------------------------------------------


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
    world: TinyWorld, ready: TinyWorld, tmp_path: Path
) -> None:
    first = tuned(world.recipe, world)
    sent = Path(shutil.copytree(first.artefact, tmp_path / "sent" / "their-run"))
    here = TinyWorld(ready.raw, ready.recipe, Workspace(tmp_path / "here"))
    from reclora_cli.stages import prepare

    recipe = reproduce.recipe_of(sent)
    prepare.run(recipe, here.workspace, given=ready.raw)
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


# -- the methods through one loop ---------------------------------------------------------------


def of_method(world: TinyWorld, method: str, **values: Any) -> Recipe:
    """A shipped method over the tiny world's recipe; its rank is the method's own."""
    file = world.workspace.root / "tiny.yaml"
    file.write_text(recipes.to_yaml(world.recipe))
    return recipes.load(file, method=method, values=values)


@pytest.mark.parametrize("method", sorted({*recipes.names("methods")} - {"zero-shot"}))
def test_every_method_is_tuned_and_evaluated(world: TinyWorld, method: str) -> None:
    from reclora_cli.stages import evaluate

    recipe = of_method(world, method, **{"evaluate.rows": 20})
    result = tuned(recipe, world)
    found = evaluate.run(recipe, world.workspace, runs=[result.run], device="cpu")

    assert result.method == locate.method_name(recipe)
    assert result.last_loss is not None
    assert np.isfinite(result.last_loss)
    assert found.models[0].kind == "run"
    assert found.models[0].all.rows == 20
    assert any(tensor.abs().max() > 0 for name, tensor in adapter_of(result).items() if "B" in name)


def test_the_untuned_lm_is_evaluated_and_not_tuned(world: TinyWorld) -> None:
    from reclora_cli.stages import evaluate

    recipe = of_method(world, "zero-shot", **{"evaluate.rows": 20})
    with pytest.raises(UsageError, match="tunes nothing") as caught:
        tuned(recipe, world)
    assert "evaluate --zero-shot" in str(caught.value.hint)
    found = evaluate.run(recipe, world.workspace, zero_shot=True, lm=False, crm=False, device="cpu")
    assert [model.method for model in found.models] == ["zero-shot"]


def test_the_same_param_variant_has_the_experts_parameters(world: TinyWorld) -> None:
    experts = of_method(world, "reclora", **{"adapter.experts": 16, "adapter.rank": 8})
    graph.ensure("finetune", experts, world.workspace, device="cpu")
    meta, lora = tuned(experts, world), tuned(of_method(world, "lora-r128"), world)

    assert lora.method == "lora-r128"
    assert lora.trainable_parameters == meta.trainable_parameters - meta.gate_parameters
    assert of_method(world, "lora-r128").adapter.alpha == 256.0


def test_rella_takes_twice_the_steps_at_equal_shots_and_as_many_at_twice_the_batch(
    world: TinyWorld,
) -> None:
    progress = Listening()
    one = tuned(of_method(world, "lora"), world)
    two = tuned(of_method(world, "rella"), world, progress=progress)
    equal = tuned(of_method(world, "rella", **{"finetune.batch_size": 8}), world)

    assert (one.shots, two.shots) == (16, 16)
    assert (two.examples, two.steps) == (2 * one.examples, 2 * one.steps)
    assert equal.steps == one.steps
    [told] = [line for line in progress.said if "each shot is two prompts" in line]
    assert "--set finetune.batch_size=8" in told


# -- bad input ----------------------------------------------------------------------------------


def test_a_target_that_names_nothing_lists_what_there_is(world: TinyWorld) -> None:
    for kind in ("meta", "lora"):
        recipe = delta.changed(world.recipe, {"adapter.kind": kind, "adapter.targets": ["c_attn"]})
        with pytest.raises(UsageError, match="no linear layer is named 'c_attn'") as caught:
            tuned(recipe, world)
        assert "k_proj, lm_head, o_proj, q_proj" in str(caught.value.hint)
        assert "v_proj" in str(caught.value.hint)


def test_an_answer_of_several_tokens_is_named_and_others_offered(world: TinyWorld) -> None:
    recipe = delta.changed(world.recipe, {"lm.yes": "Schindlerish"})
    with pytest.raises(UsageError, match="'Schindlerish' does not start with one token") as caught:
        tuned(recipe, world)
    assert "Yes. / No." in str(caught.value.hint)
    assert "--set lm.yes=" in str(caught.value.hint)


def test_a_model_folder_without_tokenizer_and_an_encoder_are_refused(
    world: TinyWorld, tiny_lm: Path, tmp_path: Path
) -> None:
    bare = Path(shutil.copytree(tiny_lm, tmp_path / "bare"))
    for file in bare.glob("tokenizer*"):
        file.unlink()
    recipe = {"adapter.kind": "lora", "prompt.behaviours": "recent"}
    with pytest.raises(MissingInputError, match="has no tokenizer"):
        tuned(delta.changed(world.recipe, {**recipe, "lm.name": str(bare)}), world)
    from transformers import BertConfig, BertModel

    encoder = tmp_path / "bert"
    BertModel(
        BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=99)
    ).save_pretrained(encoder)
    with pytest.raises(UsageError, match="not a causal LM"):
        tuned(delta.changed(world.recipe, {**recipe, "lm.name": str(encoder)}), world)


def test_prompts_longer_than_the_context_are_shortened_counted_and_reported(
    world: TinyWorld, tiny_lm: Path, tmp_path: Path
) -> None:
    from reclora_cli.cli.render import finetune as view
    from tests.cli.test_views import drawn

    narrow = Path(shutil.copytree(tiny_lm, tmp_path / "narrow"))
    config = json.loads((narrow / "config.json").read_text())
    plain = {"adapter.kind": "lora", "prompt.behaviours": "recent", "prompt.history": 8}
    whole = tuned(delta.changed(world.recipe, plain), world)
    assert whole.shortened_prompts == 0
    (narrow / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 230}))
    cut = tuned(delta.changed(world.recipe, {**plain, "lm.name": str(narrow)}), world)

    assert 0 < cut.shortened_prompts <= 16
    assert f"{cut.shortened_prompts} prompts lost behaviours" in drawn(view.render(cut))


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = delta.changed(world.recipe, {"finetune.epochs": 2})
    expected = adapter_of(straight := tuned(recipe, world))
    shutil.rmtree(straight.artefact)
    with monkeypatch.context() as patch:
        kill_after(patch, 7)
        with pytest.raises(Killed):
            tuned(recipe, world)
    *_, before, last = sorted((Path(straight.artefact) / "checkpoints").glob("step-*"))
    file = last / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    progress = Listening()
    resumed = tuned(recipe, world, progress=progress)

    assert same(adapter_of(resumed), expected)
    assert any(f"{last.name} is damaged" in line for line in progress.warned)
    assert any(f"going on from step {int(before.name[5:])}" in line for line in progress.said)


def test_where_every_checkpoint_is_damaged_it_starts_anew_and_says_so(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = delta.changed(world.recipe, {"finetune.epochs": 2})
    expected = adapter_of(straight := tuned(recipe, world))
    shutil.rmtree(straight.artefact)
    with monkeypatch.context() as patch:
        kill_after(patch, 7)
        with pytest.raises(Killed):
            tuned(recipe, world)
    found = sorted((Path(straight.artefact) / "checkpoints").glob("step-*"))
    (found[0] / "state.json").write_text("[]")
    (found[1] / "model.safetensors").write_bytes(b"")
    progress = Listening()
    result = tuned(recipe, world, progress=progress)

    assert len(progress.warned) == 3
    assert "no whole checkpoint is left" in progress.warned[-1]
    assert "starting anew" in progress.warned[-1]
    assert same(adapter_of(result), expected)
    steps = [json.loads(line)["step"] for line in (Path(result.artefact) / "log.jsonl").open()]
    assert steps == list(range(1, 9))
