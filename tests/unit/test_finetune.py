"""``finetune`` on the tiny world with a tiny random LM: exact, repeatable, and honest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reclora_cli import recipe as recipes
from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.pipeline import graph
from reclora_cli.recipe import Recipe, delta
from reclora_cli.stages import lm_training, locate, reproduce, runs
from reclora_cli.workspace import Artefact
from tests.finetuning import Killed, Listening, adapter_of, copied, kill_after, same, tuned
from tests.world import TinyWorld


@pytest.fixture
def world(ready_to_tune: TinyWorld, tmp_path: Path) -> TinyWorld:
    return copied(ready_to_tune, tmp_path / "ws")


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


def test_a_tuning_goes_on_computed_as_it_was_begun_whatever_memory_is_free_by_then(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = delta.changed(world.recipe, {"finetune.gradient_checkpointing": "auto"})
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            tuned(recipe, world)
    file = locate.run(recipe, world.workspace).path / "computed.json"
    begun = json.loads(file.read_text())
    assert begun["gradient_checkpointing"] is False
    file.write_text(json.dumps({**begun, "gradient_checkpointing": True}))  # As with less memory.

    asked = []
    choose = lm_training.micro_batch_of

    def choosing(recipe, settings, *others):
        asked.append(settings)
        return choose(recipe, settings, *others)

    monkeypatch.setattr(lm_training, "micro_batch_of", choosing)
    tuned(recipe, world)
    assert [one.gradient_checkpointing for one in asked] == ["on"]
    assert [one.micro_batch_tokens for one in asked] == [begun["micro_batch_tokens"]]


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


# -- the methods through one loop ---------------------------------------------------------------


def of_method(world: TinyWorld, method: str, **values: Any) -> Recipe:
    """A shipped method over the tiny world's recipe; its rank is the method's own."""
    file = world.workspace.root / "tiny.yaml"
    file.write_text(recipes.to_yaml(world.recipe))
    return recipes.load(file, method=method, values=values)


OF_RATINGS = [
    method
    for method in recipes.names("methods")
    if recipes.load("ml-1m", method=method).task == "rate" and method != "zero-shot"
]


@pytest.mark.parametrize("method", OF_RATINGS)
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
