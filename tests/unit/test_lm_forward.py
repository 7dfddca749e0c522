"""Logits at answer positions equal the full forward's, sample by sample, for any architecture."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import transformers
from torch import nn

from reclora_cli.lm.forward import answer_logits
from reclora_cli.lm.recompute import recomputed

VOCABULARY = 97
_SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "head_dim": 8,
    "pad_token_id": 0,
}
_LENGTHS = (3, 11, 7)


def _small(config: str, model: str, **other: object) -> Callable[[], nn.Module]:
    return lambda: getattr(transformers, model)(
        getattr(transformers, config)(**_SMALL, initializer_range=0.2, **other)
    )


def _gpt2() -> nn.Module:
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.2
    )
    return transformers.GPT2LMHeadModel(config)


def _peft() -> nn.Module:
    import peft

    config = peft.LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False)
    return peft.get_peft_model(MODELS["llama"](), config)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "llama": _small("LlamaConfig", "LlamaForCausalLM"),
    "qwen2": _small("Qwen2Config", "Qwen2ForCausalLM"),
    "qwen3": _small("Qwen3Config", "Qwen3ForCausalLM"),
    "mistral, sliding window": _small("MistralConfig", "MistralForCausalLM", sliding_window=4),
    "gemma": _small("GemmaConfig", "GemmaForCausalLM"),
    "gemma2, soft-capped": _small(
        "Gemma2Config", "Gemma2ForCausalLM", final_logit_softcapping=1.5, sliding_window=4
    ),
    "cohere, logit scale": _small("CohereConfig", "CohereForCausalLM", logit_scale=0.3),
    "granite, logits scaling": _small("GraniteConfig", "GraniteForCausalLM", logits_scaling=3.0),
    "gpt2": _gpt2,
    "peft": _peft,
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[request.param]().eval()


def _samples() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(1, VOCABULARY, (length,), generator=generator) for length in _LENGTHS]


def _padded(samples: list[torch.Tensor], fill: int) -> torch.Tensor:
    return nn.utils.rnn.pad_sequence(samples, batch_first=True, padding_value=fill)


@torch.no_grad()
def test_equals_each_sample_alone_through_the_models_own_full_forward(model: nn.Module):
    samples = _samples()
    at_BA = torch.tensor([[length - 2, length - 1] for length in _LENGTHS])
    found_BAV = answer_logits(model, _padded(samples, 0), at_BA)
    for sample, at, found in zip(samples, at_BA, found_BAV, strict=True):
        alone = model(input_ids=sample[None], use_cache=False).logits[0, at]
        torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_what_the_padding_holds_changes_nothing(model: nn.Module):
    samples = _samples()
    at_B1 = torch.tensor(_LENGTHS)[:, None] - 1
    one, other = (answer_logits(model, _padded(samples, fill), at_B1) for fill in (0, 5))
    assert torch.equal(one, other)


@pytest.mark.parametrize("name", [*MODELS])
def test_gradients_equal_those_of_the_full_forward(name: str):
    samples, at_B1 = _samples(), torch.tensor(_LENGTHS)[:, None] - 1
    grads = []
    for logits_of in (
        lambda model, ids: answer_logits(model, ids, at_B1),
        lambda model, ids: model(input_ids=ids).logits.gather(
            1, at_B1[..., None].expand(-1, -1, VOCABULARY)
        ),
    ):
        torch.manual_seed(0)
        model = MODELS[name]().eval()
        logits_of(model, _padded(samples, 0)).log_softmax(-1)[..., 3].sum().backward()
        grads.append([p.grad for p in model.parameters() if p.requires_grad])
    for ours, full in zip(*grads, strict=True):
        torch.testing.assert_close(ours, full, rtol=1e-4, atol=1e-6)


def test_the_vocabulary_projection_sees_only_positions_that_a_sample_asks_for():
    model = MODELS["llama"]()
    seen: list[torch.Size] = []
    model.lm_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    answer_logits(model, _padded(_samples(), 0), torch.tensor([[2], [10], [2]]))
    assert seen == [torch.Size([3, 2, 32])]


def test_the_last_feed_forward_sees_only_positions_that_are_asked_for():
    model = MODELS["llama"]()
    seen: list[torch.Size] = []
    for layer in model.model.layers:
        layer.mlp.gate_proj.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0].shape)
        )
    at = torch.tensor([[2], [10], [6]])
    with torch.no_grad():
        answer_logits(model, _padded(_samples(), 0), at)
    answer_logits(model, _padded(_samples(), 0), at)
    with recomputed(model):  # The backward pass then calls the block again, when this is over.
        answer_logits(model, _padded(_samples(), 0), at)
    whole = torch.Size([3, 11, 32])
    assert seen == [whole, torch.Size([3, 1, 32])] * 2 + [whole, whole]
    assert type(model.model.layers[1].mlp).__name__ == "LlamaMLP"


class _KeepsAll(nn.Module):
    """A causal LM whose forward cannot be asked for positions."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, VOCABULARY)

    def forward(self, input_ids: torch.Tensor, use_cache: bool = True) -> object:
        from transformers.modeling_outputs import CausalLMOutput

        return CausalLMOutput(logits=self.table(input_ids).cumsum(1))


@torch.no_grad()
def test_a_model_that_keeps_all_positions_is_asked_for_all_of_them():
    model, ids = _KeepsAll(), _padded(_samples(), 0)
    found = answer_logits(model, ids, torch.tensor([[0, 2], [1, 10], [4, 6]]))
    torch.testing.assert_close(found[1, 1], model(ids).logits[1, 10])
    assert found.shape == (3, 2, VOCABULARY)
