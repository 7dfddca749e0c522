"""8-bit and 4-bit bases behind one option; on CPUs too; quietly."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import pytest
import torch

from reclora_cli.errors import MissingInputError, UsageError
from reclora_cli.lm import quantise
from reclora_cli.lm.forward import answer_logits
from reclora_cli.lm.load import LoadedLm, load
from tests.tiny_lm import tiny_recipe

CPU = torch.device("cpu")
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


def _next_token(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        return answer_logits(model, ids, torch.tensor([[19]]))[0, 0]


def _next_loss(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.arange(3, 23)[None]
    return torch.nn.functional.cross_entropy(
        answer_logits(model, ids, torch.tensor([[19]]))[:, 0], torch.tensor([5])
    )


def test_none_needs_no_settings():
    assert quantise.config("none", CPU, torch.float32) is None


def test_a_missing_bitsandbytes_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingInputError, match="8bit needs the package bitsandbytes") as error:
        quantise.config("8bit", CPU, torch.float32)
    assert "pip install bitsandbytes" in str(error.value.hint)


def test_a_device_without_kernels_is_refused():
    with pytest.raises(UsageError, match="does not run on mps"):
        quantise.config("4bit", torch.device("mps"), torch.float32)


@needs_bitsandbytes
@pytest.mark.parametrize(
    ("quantisation", "kind"), [("8bit", "WeightOnlyLinear8bit"), ("4bit", "Linear4bit")]
)
def test_the_decoders_linears_are_quantised_and_the_vocabulary_projection_is_not(
    tiny_lm: Path, quantisation: str, kind: str
):
    model = load(tiny_recipe(tiny_lm, quantisation), CPU).model
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    assert kinds["model.layers.0.self_attn.q_proj"] == kind
    assert kinds["model.layers.1.mlp.down_proj"] == kind
    assert kinds["lm_head"] == "Linear"


@needs_bitsandbytes
@pytest.mark.parametrize(("quantisation", "most"), [("8bit", 0.02), ("4bit", 0.12)])
def test_a_quantised_layer_stays_near_its_original(
    tiny_lm: Path, loaded_lm: LoadedLm, quantisation: str, most: float
):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(8, loaded_lm.width, generator=generator)
    name = "model.layers.0.mlp.gate_proj"
    quantised = load(tiny_recipe(tiny_lm, quantisation), CPU).model.get_submodule(name)(inputs)
    original = loaded_lm.model.get_submodule(name)(inputs)
    assert 0 < (quantised - original).norm() / original.norm() < most


@needs_bitsandbytes
@pytest.mark.parametrize("quantisation", ["8bit", "4bit"])
def test_gradients_pass_after_a_pass_without_gradients(tiny_lm: Path, quantisation: str):
    model = load(tiny_recipe(tiny_lm, quantisation), CPU).model
    _next_token(model)
    embedded = model.get_input_embeddings()(torch.arange(3, 23)[None]).requires_grad_()
    model(inputs_embeds=embedded, use_cache=False).logits[0, -1, 3].backward()
    assert embedded.grad is not None
    assert embedded.grad[0, 0].abs().sum() > 0


@needs_bitsandbytes
def test_on_a_cpu_8bit_rounds_weights_only(tiny_lm: Path):
    layer = load(tiny_recipe(tiny_lm, "8bit"), CPU).model.model.layers[0].mlp.down_proj
    inputs = 20 * torch.randn(3, layer.in_features, generator=torch.Generator().manual_seed(0))
    found = layer(inputs)
    weight = layer.state.CB.float() * (layer.state.SCB[:, None] / 127)
    torch.testing.assert_close(found, inputs @ weight.T)


@needs_bitsandbytes
@pytest.mark.parametrize("quantisation", ["8bit", "4bit"])
def test_a_sample_does_not_depend_on_its_neighbours(tiny_lm: Path, quantisation: str):
    model = load(tiny_recipe(tiny_lm, quantisation), CPU).model
    ids = torch.randint(3, 400, (4, 20), generator=torch.Generator().manual_seed(0))
    at = torch.full((4, 1), 19)
    with torch.no_grad():
        together = answer_logits(model, ids, at)
        alone = torch.cat([answer_logits(model, ids[[i]], at[[i]]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@needs_bitsandbytes
@pytest.mark.parametrize("quantisation", ["8bit", "4bit"])
def test_training_and_scoring_compute_the_same(tiny_lm: Path, quantisation: str):
    model = load(tiny_recipe(tiny_lm, quantisation), CPU).model
    in_eval = _next_token(model)
    assert torch.equal(_next_token(model.train()), in_eval)
    embedded = model.get_input_embeddings()(torch.arange(3, 23)[None]).requires_grad_()
    with_gradients = model(inputs_embeds=embedded, use_cache=False).logits[0, -1]
    torch.testing.assert_close(with_gradients, in_eval, rtol=1e-4, atol=1e-4)


@needs_bitsandbytes
@pytest.mark.parametrize("quantisation", ["8bit", "4bit"])
def test_peft_and_meta_lora_train_on_a_quantised_base(tiny_lm: Path, quantisation: str):
    import peft

    from reclora_cli.lora import attach

    model = load(tiny_recipe(tiny_lm, quantisation), CPU).model
    meta = attach(model, experts=1)
    _next_loss(model).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in meta.parameters())
    meta.detach()
    wrapped = peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj"], r=2))
    _next_loss(wrapped).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in wrapped.parameters())


@pytest.mark.parametrize(
    ("logger", "line"),
    [
        (
            "bitsandbytes.autograd._functions",
            "MatMul8bitLt: inputs will be cast from %s to float16 during quantization",
        ),
        (
            "bitsandbytes.backends.cpu.ops",
            "Failed to load CPU gemm_4bit_forward from kernels-community: %s. Please",
        ),
    ],
)
def test_needless_lines_of_bitsandbytes_are_dropped(
    caplog: pytest.LogCaptureFixture, logger: str, line: str
):
    quantise.silence_idle_lines()
    logging.getLogger(logger).warning(line, "x")
    assert caplog.text == ""


def test_its_other_lines_still_pass(caplog: pytest.LogCaptureFixture):
    quantise.silence_idle_lines()
    logging.getLogger("bitsandbytes.autograd._functions").warning("something else")
    assert "something else" in caplog.text
