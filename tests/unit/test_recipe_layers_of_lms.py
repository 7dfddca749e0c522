"""Shipped LMs and presets: laid over a dataset's recipe, loadable, and honest without weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from reclora_cli import recipe as recipes
from reclora_cli.errors import MissingInputError, UsageError
from reclora_cli.lm.framing import Framing
from reclora_cli.recipe import delta
from reclora_cli.stages import finetune
from tests.unit.test_lm_framing import TEMPLATES, Template, tokenizer_of
from tests.world import TinyWorld

LLMS = recipes.names("llms")
SPEAKS = {
    "gemma-3-1b": "gemma-3",
    "qwen3-0.6b": "qwen3",
    "smollm2-360m": "smollm2",
    "vicuna-7b": "vicuna",
}
"""Which published chat template a shipped LM has."""


def template_of(llm: str) -> Template:
    return TEMPLATES[SPEAKS[llm]]


def config_of(llm: str, vocabulary: int, special: dict[str, int]) -> Any:
    """The LM's architecture in two narrow layers."""
    from transformers import Gemma3TextConfig, LlamaConfig, Qwen3Config

    kind = {"qwen3-0.6b": Qwen3Config, "gemma-3-1b": Gemma3TextConfig}.get(llm, LlamaConfig)
    return kind(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        **special,
    )


def write_as_in_the_hub_cache(llm: str, home: Path) -> str:
    """A random LM of the architecture of ``llm``, where the hub would keep it. Returns its id."""
    from transformers import AutoModelForCausalLM

    hub_id = recipes.load("ml-1m", llm=llm).lm.name
    tokenizer = tokenizer_of(template_of(llm))
    special = {
        name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config_of(llm, len(tokenizer), special))
    cache = home / "hub" / f"models--{hub_id.replace('/', '--')}"
    folder = cache / "snapshots" / ("0" * 40)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0" * 40)
    return hub_id


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache of its own, without a network."""
    from huggingface_hub import constants

    home = tmp_path / "hf"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return home


def test_the_shipped_ones_are_these() -> None:
    assert LLMS == ["gemma-3-1b", "qwen3-0.6b", "smollm2-360m", "vicuna-7b"]
    assert recipes.names("presets") == ["ilora-paper", "paper"]


@pytest.mark.parametrize("llm", LLMS)
@pytest.mark.parametrize("preset", [None, "paper"])
@pytest.mark.parametrize("method", [None, *recipes.names("methods")])
def test_every_combination_loads(llm: str, preset: str | None, method: str | None) -> None:
    loaded = recipes.load("ml-1m", llm=llm, preset=preset, method=method)
    assert recipes.from_tree(loaded.model_dump(mode="json")) == loaded


def test_an_lm_changes_nothing_else() -> None:
    plain, vicuna = recipes.load("ml-1m"), recipes.load("ml-1m", llm="vicuna-7b")
    assert recipes.differences(plain.model_dump(), vicuna.model_dump()) == [
        "lm.name: smollm2-135m -> lmsys/vicuna-7b-v1.5",
        "lm.quantisation: none -> 8bit",
    ]


def test_any_other_name_or_path_is_the_lms_own_and_set_wins_over_shipped_ones() -> None:
    assert recipes.load("ml-1m", llm="/models/mine").lm.name == "/models/mine"
    local = recipes.load("ml-1m", llm="vicuna-7b", overrides=["lm.name=/models/vicuna"])
    assert (local.lm.name, local.lm.quantisation) == ("/models/vicuna", "8bit")
    assert recipes.load("ml-1m", llm="other", overrides=["lm.name=mine"]).lm.name == "other"


def test_the_paper_preset_is_what_the_authors_ran() -> None:
    loaded = recipes.load("ml-1m", llm="vicuna-7b", preset="paper")
    tuning, gate, adapter = loaded.finetune, loaded.gate, loaded.adapter
    assert (tuning.shots, tuning.epochs, tuning.batch_size) == (70000, 5, 256)
    assert (tuning.learning_rate, tuning.weight_decay, tuning.warm_up) == (1e-3, 0.0, 0.0)
    assert (gate.temperature, gate.norm, gate.hidden, gate.dropout) == (5.0, "before", 60, 0.1)
    assert (adapter.experts, adapter.rank, adapter.alpha) == (16, 8, 16.0)
    assert (adapter.targets, adapter.mixing) == (("q_proj", "v_proj"), "weights")
    assert (loaded.retriever.long, loaded.crm.history, loaded.prompt.history) == (60, 60, 10)


def test_an_unknown_preset_gets_a_did_you_mean() -> None:
    with pytest.raises(UsageError, match="unknown preset 'papper'") as caught:
        recipes.load("ml-1m", preset="papper")
    assert "paper" in str(caught.value.hint)


@pytest.mark.parametrize("llm", LLMS)
def test_without_weights_at_hand_it_is_said_and_what_to_do(
    llm: str, hub: Path, tiny_world: TinyWorld
) -> None:
    name = recipes.load("ml-1m", llm=llm).lm.name
    recipe = delta.changed(tiny_world.recipe, {"lm.name": name})
    with pytest.raises(MissingInputError, match="not in the local hub cache") as caught:
        finetune.run(recipe, tiny_world.workspace, device="cpu", dry_run=True)
    assert caught.value.where == name
    assert "--llm" in str(caught.value.hint)


@pytest.mark.parametrize("llm", LLMS)
@pytest.mark.parametrize("kind", ["meta", "lora"])
def test_with_weights_at_hand_it_is_planned_without_a_network(
    llm: str, kind: str, hub: Path, tiny_world: TinyWorld
) -> None:
    name = write_as_in_the_hub_cache(llm, hub)
    settings = recipes.load("ml-1m", llm=llm).lm.model_dump(mode="json")
    recipe = delta.changed(tiny_world.recipe, {"lm": settings, "adapter.kind": kind})
    assert recipe.lm.name == name
    planned = finetune.run(recipe, tiny_world.workspace, device="cpu", dry_run=True)

    rank, experts = recipe.adapter.rank, recipe.adapter.experts if kind == "meta" else 1
    width, layers = 32, 2
    on_queries, on_values = width + 4 * 8, width + 2 * 8
    adapted = planned.trainable_parameters - planned.gate_parameters
    assert adapted == layers * rank * experts * (on_queries + on_values)
    assert planned.plan is not None
    assert planned.plan.tokens > 0


@pytest.mark.parametrize("llm", LLMS)
def test_its_chat_template_frames_the_prompt(llm: str) -> None:
    template = template_of(llm)
    framing = Framing.of(tokenizer_of(template))
    assert framing.frame("Like it?") == f"{template.before}Like it?{template.after}"
    assert framing.system == ""


@pytest.mark.parametrize("llm", ["smollm2-360m", "qwen3-0.6b", "gemma-3-1b"])
def test_a_small_one_is_tuned_for_real_in_its_architecture(
    llm: str, hub: Path, tiny_copy: TinyWorld
) -> None:
    write_as_in_the_hub_cache(llm, hub)
    settings = recipes.load("ml-1m", llm=llm).lm.model_dump(mode="json")
    recipe = delta.changed(
        tiny_copy.recipe, {"lm": settings, "adapter.kind": "lora", "prompt.behaviours": "recent"}
    )
    result = finetune.run(recipe, tiny_copy.workspace, device="cpu")
    assert result.steps == 4
    assert result.last_loss is not None
    assert 0 < result.last_loss < 20
