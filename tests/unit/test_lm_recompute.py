"""Gradient checkpointing: the same gradients, less kept, and nothing below the lowest adapter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from reclora_cli.errors import UsageError
from reclora_cli.lm.recompute import recomputed
from reclora_cli.lora.adapters import Adapter
from reclora_cli.recipe import load as load_recipe
from reclora_cli.stages.make_adapter import make_adapter
from reclora_cli.training.activations import saved_bytes
from tests.tiny_lms import ARCHITECTURES, tiny_lm, tokens

WIDTH, TARGETS = 6, {"gpt2": "c_attn"}


def adapted(architecture: str, *overrides: str, targets: str = "") -> tuple[nn.Module, Adapter]:
    """A tiny LM with an adapter whose experts are not at their start."""
    model = tiny_lm(architecture)
    names = targets or TARGETS.get(architecture, "q_proj, v_proj")
    small = ["adapter.experts=3", "adapter.rank=2", f"adapter.targets=[{names}]"]
    small.append("gate.normalise=none")  # All tensors of the adapter are trained then.
    settings = load_recipe("ml-1m", overrides=[*small, *overrides])
    adapter = make_adapter(settings, model, WIDTH if settings.adapter.kind == "meta" else None)
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in adapter.tensors().values():
            tensor.copy_(torch.randn(tensor.shape, generator=stream) * 0.3)
    return model, adapter


def gradients(model: nn.Module, adapter: Adapter, recompute: bool, seed: int = 3) -> list[Tensor]:
    adapter.train(True)
    represented = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(seed)
    with recomputed(model, recompute), adapter.personalised(represented):
        logits = model(input_ids=tokens(), use_cache=False).logits
        logits[:, -2:].float().logsumexp(-1).sum().backward()
    found = [tensor.grad.clone() for tensor in adapter.tensors().values()]
    for tensor in adapter.tensors().values():
        tensor.grad = None
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "overrides",
    [(), ("adapter.mixing=weights",), ("adapter.dropout=0.3",)],
    ids=["product", "weights", "dropout"],
)
def test_gradients_are_the_same_with_and_without(
    architecture: str, overrides: tuple[str, ...]
) -> None:
    model, adapter = adapted(architecture, *overrides)
    plain, again = (gradients(model, adapter, recompute) for recompute in (False, True))
    assert max(float(gradient.abs().max()) for gradient in plain) > 1e-3
    for a, b in zip(plain, again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_they_are_the_same_for_a_plain_lora_of_peft() -> None:
    model, adapter = adapted("llama", "adapter.kind=lora")
    plain, again = (gradients(model, adapter, recompute) for recompute in (False, True))
    for a, b in zip(plain, again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_less_is_kept_and_afterwards_the_model_is_as_before(architecture: str) -> None:
    model, adapter = adapted(architecture)
    modes = [module.training for module in model.modules()]
    represented = torch.zeros(3, WIDTH)

    def kept(recompute: bool) -> int:
        with recomputed(model, recompute), adapter.personalised(represented):
            return saved_bytes(
                lambda: model(input_ids=tokens(length=40), use_cache=False).logits.sum(),
                [*model.parameters(), *adapter.tensors().values()],
            )

    # What the blocks' own checkpoints hold is their inputs; the head and its loss remain.
    assert kept(True) < 0.5 * kept(False)
    assert [module.training for module in model.modules()] == modes
    assert kept(True) < 0.5 * kept(False)


def test_the_bases_own_dropout_stays_off() -> None:
    model, adapter = adapted("gpt2", "gate.dropout=0")
    assert model.config.resid_pdrop > 0
    streams = [gradients(model, adapter, recompute=True, seed=seed) for seed in (3, 4)]
    for a, b in zip(*streams, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("recompute", [False, True])
def test_no_block_below_the_lowest_adapted_one_has_a_graph(recompute: bool) -> None:
    model, adapter = adapted("llama", targets="layers.1.self_attn.q_proj")
    required: list[bool] = []
    handles = [
        layer.register_forward_hook(
            lambda module, given, made: required.append(
                (made[0] if isinstance(made, tuple) else made).requires_grad
            )
        )
        for layer in model.model.layers
    ]
    with recomputed(model, recompute), adapter.personalised(torch.zeros(3, WIDTH)):
        model(input_ids=tokens(), use_cache=False)
    for handle in handles:
        handle.remove()
    assert required == [False, True]


def test_with_queries_and_values_of_the_first_block_adapted_the_embedding_keeps_nothing() -> None:
    model, adapter = adapted("llama")
    with adapter.personalised(torch.zeros(3, WIDTH)):
        embedded = model.model.embed_tokens(tokens())
        normed = model.model.layers[0].input_layernorm(embedded)
        queries = model.model.layers[0].self_attn.q_proj(normed)
    assert (embedded.requires_grad, normed.requires_grad) == (False, False)
    assert queries.requires_grad


def test_a_model_without_blocks_is_an_error_that_says_how_to_go_on() -> None:
    with pytest.raises(UsageError, match="computed again") as error, recomputed(nn.Linear(2, 2)):
        pass
    assert "gradient_checkpointing=off" in str(error.value.hint)
