"""Meta-LoRA on bitsandbytes' 8-bit and 4-bit linears, on CPU."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig

from reclora_cli.errors import RecloraError
from reclora_cli.lora import GateSettings, MetaLora, attach
from tests.tiny_lms import tokens

CONFIG = LlamaConfig(
    vocab_size=50,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)


@pytest.fixture(autouse=True)
def without_a_line_per_8bit_call() -> Iterator[None]:
    log = logging.getLogger("bitsandbytes.autograd._functions")
    level = log.level
    log.setLevel(logging.ERROR)
    yield
    log.setLevel(level)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(CONFIG).save_pretrained(path)
    return path


def load(folder: Path, bits: str) -> Any:
    config = BitsAndBytesConfig(**{f"load_in_{bits}": True})
    return AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=config, device_map="cpu", dtype=torch.float32
    ).eval()


def make(model: Any, **settings: Any) -> MetaLora:
    return attach(model, experts=4, gate=GateSettings(6), **settings)


def guide() -> Tensor:
    return torch.randn(3, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mixing", ["product", "weights", "full"])
@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_untrained_it_is_its_base_and_ten_steps_lower_the_loss(
    folder: Path, bits: str, mixing: str
) -> None:
    base, model = load(folder, bits).train(), load(folder, bits).train()
    meta = make(model, mixing=mixing)
    wrapped = model.get_submodule(meta.projections[0]).base
    assert isinstance(wrapped, bnb.nn.Linear8bitLt | bnb.nn.Linear4bit)
    with torch.no_grad(), meta.bound(meta.mixture(guide())):
        assert torch.equal(model(tokens()).logits, base(tokens()).logits)
    losses = ten_steps(model, meta)
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < losses[0] - 0.2


def ten_steps(model: Any, meta: MetaLora) -> list[float]:
    optimizer = torch.optim.AdamW(meta.parameters(), lr=2e-2)
    losses = []
    for _ in range(10):
        with meta.bound(meta.mixture(guide())):
            loss = model(input_ids=tokens(), labels=tokens()).loss
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def dequantised(model: Any) -> Any:
    """A copy of a 4-bit model with plain linears of the same values."""
    plain = copy.deepcopy(model)
    for name, layer in list(plain.named_modules()):
        if isinstance(layer, bnb.nn.Linear4bit):
            values = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
            linear = nn.Linear(layer.in_features, layer.out_features, bias=False)
            linear.weight.data = values.float()
            parent, _, attribute = name.rpartition(".")
            setattr(plain.get_submodule(parent), attribute, linear)
    return plain


def gradients(model: Any) -> list[Tensor]:
    meta = make(model, targets=("q_proj", "v_proj", "down_proj")).eval()
    for parameter in meta.trainable_parameters()["experts"][1::2]:
        parameter.data.copy_(
            0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
        )
    with torch.no_grad(), meta.bound(meta.mixture(guide())):
        model(tokens())
    with meta.bound(meta.mixture(guide())):
        model(input_ids=tokens(), labels=tokens()).loss.backward()
    return [parameter.grad for parameter in meta.parameters() if parameter.grad is not None]


def test_gradients_pass_a_4bit_base_in_eval_mode_even_after_scoring(folder: Path) -> None:
    model = load(folder, "4bit")
    plain = dequantised(model)
    found, expected = gradients(model), gradients(plain)
    assert len(found) == len(expected) == 18
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


def test_a_4bit_base_that_was_repacked_before_is_refused(folder: Path) -> None:
    model = load(folder, "4bit")
    model.model.layers[1].mlp.up_proj.weight.quant_state.packing_format_for_cpu = True
    with pytest.raises(RecloraError, match=r"layers\.1\.mlp\.up_proj: .*without a derivative"):
        make(model)


def test_detach_lets_4bit_layers_repack_as_before(folder: Path) -> None:
    model = load(folder, "4bit")
    layer = model.model.layers[0].mlp.up_proj
    layer.support_avx512bf16_for_cpu = True
    meta = make(model)
    assert not layer.support_avx512bf16_for_cpu
    meta.detach()
    assert layer.support_avx512bf16_for_cpu
