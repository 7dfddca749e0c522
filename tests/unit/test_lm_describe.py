"""An LM's sizes are told without loading it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reclora_cli.lm.describe import describe, describe_place
from reclora_cli.lm.find import LmPlace
from reclora_cli.lm.load import LoadedLm
from tests.tiny_lm import tiny_recipe


def test_sizes_equal_those_of_the_loaded_model(tiny_lm: Path, loaded_lm: LoadedLm):
    found = describe(tiny_recipe(tiny_lm))
    assert found.parameters == sum(p.numel() for p in loaded_lm.model.parameters())
    assert (found.layers, found.width, found.feed_forward, found.heads) == (2, 64, 128, 4)
    assert found.vocabulary == loaded_lm.model.config.vocab_size
    assert found.context == loaded_lm.context


def test_linears_are_the_decoders_without_the_vocabulary_projection(
    tiny_lm: Path, loaded_lm: LoadedLm
):
    found = describe(tiny_recipe(tiny_lm)).linears
    expected = {
        name: (module.in_features, module.out_features)
        for name, module in loaded_lm.model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    }
    assert {linear.name: (linear.inputs, linear.outputs) for linear in found} == expected


def test_nothing_is_loaded(tiny_lm: Path, monkeypatch: pytest.MonkeyPatch):
    import transformers

    refuse = classmethod(lambda *_, **__: pytest.fail("weights were loaded"))
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", refuse)
    assert describe(tiny_recipe(tiny_lm)).layers == 2


def test_gpt2_is_described_by_the_same_names(tmp_path: Path):
    from transformers import GPT2Config

    GPT2Config(vocab_size=50, n_embd=16, n_layer=3, n_head=2, n_positions=64).save_pretrained(
        tmp_path
    )
    found = describe_place(LmPlace("gpt2", tmp_path, ""))
    assert (found.layers, found.width, found.heads, found.context) == (3, 16, 2, 64)
    assert found.feed_forward == 64
    attention = next(linear for linear in found.linears if linear.name.endswith("h.0.attn.c_attn"))
    assert (attention.inputs, attention.outputs) == (16, 48)


def test_weight_bytes_by_hand(tiny_lm: Path):
    found = describe(tiny_recipe(tiny_lm))
    linear = 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128)
    assert found.quantisable == linear
    rest = found.parameters - linear
    assert found.weight_bytes("none", torch.float32) == 4 * found.parameters
    assert found.weight_bytes("8bit", torch.float32) == linear + 4 * rest
    assert found.weight_bytes("4bit", torch.bfloat16) == linear // 2 + 2 * rest
