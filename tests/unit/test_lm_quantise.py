"""8-bit and 4-bit bases behind one option; on CPUs too; quietly."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
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
    assert "pip install --upgrade bitsandbytes" in str(error.value.hint)


def _python(code: str, path: Path | None = None) -> str:
    """What a new Python prints on running ``code``, ``path`` ahead of what is installed."""
    environment = dict(os.environ)
    if path is not None:
        environment["PYTHONPATH"] = f"{path}{os.pathsep}{environment.get('PYTHONPATH', '')}"
    ran = [sys.executable, "-c", code]
    done = subprocess.run(ran, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


_ASK_FOR_8BIT = (
    "import torch\n"
    "from reclora_cli.errors import MissingInputError\n"
    "from reclora_cli.lm import quantise\n"
    "try:\n    quantise.config('8bit', torch.device('cpu'), torch.float32)\n"
    "except MissingInputError as error:\n    print(error.what)\n"
)


def test_without_bitsandbytes_every_module_but_its_own_can_be_imported():
    hidden = "import sys\nsys.modules['bitsandbytes'] = None\n"
    imports = (
        "import importlib, pkgutil, reclora_cli\n"
        "for found in pkgutil.walk_packages(reclora_cli.__path__, 'reclora_cli.'):\n"
        "    if found.name not in {'reclora_cli.lm.weight_only', 'reclora_cli.__main__'}:\n"
        "        importlib.import_module(found.name)\n"
    )
    told = _python(hidden + imports + _ASK_FOR_8BIT)
    assert told.strip() == "8bit needs the package bitsandbytes, which is not installed"


def test_a_build_that_does_not_run_here_is_told_with_its_reason(tmp_path: Path):
    (tmp_path / "bitsandbytes").mkdir()
    broken = "raise OSError('libcudart.so.11.0: cannot open shared object file')"
    (tmp_path / "bitsandbytes" / "__init__.py").write_text(broken)
    told = _python(_ASK_FOR_8BIT, tmp_path)
    assert "whose build does not run here (OSError: libcudart.so.11.0" in told


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


@needs_bitsandbytes
@pytest.mark.parametrize("quantisation", ["8bit", "4bit"])
def test_it_is_prepared_for_training(tiny_lm: Path, quantisation: str):
    from reclora_cli.lora import GateSettings, attach

    model = load(tiny_recipe(tiny_lm, quantisation), CPU).model
    assert not any(parameter.requires_grad for parameter in model.parameters())
    left = [p for n, p in model.named_parameters() if "_proj" not in n]
    assert {parameter.dtype for parameter in left} == {torch.float32}
    meta = attach(model, experts=2, gate=GateSettings(4))
    assert {parameter.dtype for parameter in meta.parameters()} == {torch.float32}


@needs_bitsandbytes
@pytest.mark.parametrize("quantisation", ["8bit", "4bit"])
def test_gradients_of_a_quantised_base_are_the_same_when_activations_are_recomputed(
    tiny_lm: Path, quantisation: str
):
    from reclora_cli.lm.recompute import recomputed
    from reclora_cli.lora import attach

    model = load(tiny_recipe(tiny_lm, quantisation), CPU).model
    meta = attach(model, experts=1)
    found = []
    for on in (False, True):
        meta.zero_grad()
        with recomputed(model, on):
            _next_loss(model).backward()
        found.append([p.grad.clone() for p in meta.parameters() if p.grad is not None])
    assert len(found[0]) == len(found[1]) == 8
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


@needs_bitsandbytes
@pytest.mark.parametrize("quantisation", ["8bit", "4bit"])
def test_on_a_cpu_candidates_share_a_prefix_of_a_quantised_base(tiny_lm: Path, quantisation: str):
    from reclora_cli.scoring.lm_scorer import answer
    from tests.scoring import ANSWERS, adapter, candidates, guides

    model = load(tiny_recipe(tiny_lm, quantisation), CPU).model
    made, represented = adapter("product", model), guides(same=True)
    asked = {
        prefix: answer(
            model,
            made,
            ANSWERS,
            candidates(),
            represented,
            device=CPU,
            batch_tokens=tokens,
            prefix=prefix,
        ).probability
        for prefix, tokens in (("never", 1), ("always", 4096))
    }
    torch.testing.assert_close(asked["always"], asked["never"], rtol=0, atol=1e-5)


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
