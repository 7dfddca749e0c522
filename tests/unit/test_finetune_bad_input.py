"""What ``finetune`` says of LMs, targets, answers, prompts and checkpoints that do not do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from reclora_cli.errors import MissingInputError, UsageError
from reclora_cli.recipe import Recipe, delta
from tests.finetuning import Killed, Listening, adapter_of, copied, kill_after, same, tuned
from tests.world import TinyWorld


@pytest.fixture
def world(ready_to_tune: TinyWorld, tmp_path: Path) -> TinyWorld:
    return copied(ready_to_tune, tmp_path / "ws")


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


def killed_after_seven_steps(
    recipe: Recipe, world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, list[Path]]:
    """The adapter that a tuning gives, and the checkpoints of the same one killed under way."""
    expected = adapter_of(straight := tuned(recipe, world))
    shutil.rmtree(straight.artefact)
    with monkeypatch.context() as patch:
        kill_after(patch, 7)
        with pytest.raises(Killed):
            tuned(recipe, world)
    return expected, sorted((Path(straight.artefact) / "checkpoints").glob("step-*"))


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = delta.changed(world.recipe, {"finetune.epochs": 2})
    expected, (*_, before, last) = killed_after_seven_steps(recipe, world, monkeypatch)
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
    expected, found = killed_after_seven_steps(recipe, world, monkeypatch)
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
