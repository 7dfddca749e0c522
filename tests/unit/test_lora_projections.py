"""Targets are patterns of module names: ends of them, whole names, and file-name wildcards."""

from __future__ import annotations

import pytest
import torch

from reclora_cli.errors import UsageError
from reclora_cli.lora.adapters import PlainLora
from reclora_cli.lora.projections import find_projections
from tests.tiny_lms import ARCHITECTURES, tiny_lm

MOST_LINEAR = {"gpt2": ("c_attn", "c_proj", "c_fc")}
USUAL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def names(architecture: str, *targets: str) -> list[str]:
    return [found.name for found in find_projections(tiny_lm(architecture), targets)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_family_has_the_projections_of_its_kind_in_both_blocks(architecture: str) -> None:
    for target in MOST_LINEAR.get(architecture, USUAL):
        found = names(architecture, target)
        assert len(found) in {2, 4}  # GPT-2 calls two layers of a block c_proj.
        assert all(name.endswith(f".{target}") for name in found)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_target_that_is_not_there_lists_what_is(architecture: str) -> None:
    with pytest.raises(UsageError, match="no linear layer is named 'query'") as caught:
        names(architecture, "query")
    for target in MOST_LINEAR.get(architecture, USUAL):
        assert target in str(caught.value.hint)


def test_wildcards_choose_blocks_and_kinds() -> None:
    assert names("llama", "layers.1.self_attn.?_proj") == [
        f"model.layers.1.self_attn.{kind}_proj" for kind in "qkvo"
    ]
    assert names("llama", "layers.[0-0].*.down_proj") == ["model.layers.0.mlp.down_proj"]
    assert names("gpt2", "h.*.c_attn") == [f"transformer.h.{block}.attn.c_attn" for block in (0, 1)]


def test_a_wildcard_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"'layers\.9\.\*'"):
        names("llama", "layers.9.*")


def test_peft_adapts_what_a_wildcard_names() -> None:
    model = tiny_lm()
    PlainLora.make(model, rank=2, alpha=4, targets=["layers.1.*.q_proj"], dropout=0.0, seed=0)
    adapted = [name for name, module in model.named_modules() if hasattr(module, "lora_A")]
    assert adapted == ["model.layers.1.self_attn.q_proj"]
    assert all(isinstance(p, torch.Tensor) for p in model.parameters() if p.requires_grad)
