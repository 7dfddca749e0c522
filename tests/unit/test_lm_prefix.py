"""Which models' prompts may share a computed prefix, and the narrowed vocabulary projection."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import nn

from reclora_cli.lm.forward import answer_logits
from reclora_cli.lm.head import FewTokens, only_tokens
from reclora_cli.lm.prefix import answer_logits_after, compute, obstacle
from reclora_cli.lm.recompute import recomputed
from tests.tiny_lms import ARCHITECTURES, VOCABULARY, tiny_lm, tokens

SMALL = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48}


def unmade(config: str, model: str, **settings: Any) -> nn.Module:
    """A model without storage: its kind alone is looked at."""
    with torch.device("meta"):
        made: nn.Module = getattr(transformers, model)(getattr(transformers, config)(**settings))
    return made


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_keys_and_values_are_all_that_these_families_keep(architecture: str) -> None:
    assert obstacle(tiny_lm(architecture)) is None


def test_a_recurrent_model_is_refused() -> None:
    assert "takes no computed keys" in str(
        obstacle(unmade("MambaConfig", "MambaForCausalLM", **SMALL))
    )


def test_a_model_with_convolutions_between_its_attentions_is_refused() -> None:
    kinds = ["conv", "full_attention"]
    found = obstacle(unmade("Lfm2Config", "Lfm2ForCausalLM", **SMALL, **HEADS, layer_types=kinds))
    assert "something else, than keys and values" in str(found)
    assert "LinearAttentionLayer" in str(found)


def test_positions_that_depend_on_the_whole_length_are_refused() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    found = obstacle(
        unmade("LlamaConfig", "LlamaForCausalLM", **SMALL, **HEADS, rope_parameters=rope)
    )
    assert "depend on how long the whole prompt is" in str(found)


def test_rounding_by_outliers_of_the_whole_batch_is_refused_where_it_is_done() -> None:
    rounding = unmade("LlamaConfig", "LlamaForCausalLM", **SMALL, **HEADS)
    assert obstacle(rounding) is None
    rounding.model.layers[0].mlp.up_proj = type("Linear8bitLt", (nn.Linear,), {})(2, 2)
    assert "LLM.int8()" in str(obstacle(rounding))


def test_blocks_that_are_computed_again_share_nothing_for_they_keep_no_keys_and_values() -> None:
    model = tiny_lm()
    with recomputed(model):
        assert "computed again" in str(obstacle(model))
    assert obstacle(model) is None


def test_a_model_told_to_look_both_ways_is_refused() -> None:
    found = unmade(
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        **SMALL,
        **HEADS,
        head_dim=8,
        use_bidirectional_attention=True,
    )
    assert obstacle(found) == "its tokens see what stands behind them"


def test_what_is_no_model_of_transformers_is_refused() -> None:
    assert obstacle(nn.Linear(2, 2)) is not None


@torch.no_grad()
def test_a_prefix_serves_many_batches_unchanged() -> None:
    model, ids = tiny_lm(), tokens(3, 12)
    ids[:, :8] = ids[0, :8]
    prefix = compute(model, ids[0, :8])
    before = [keys.clone() for keys, _ in prefix.layers]
    at = torch.full((3, 1), 3)
    first = answer_logits_after(model, prefix, ids[:, 8:], at)
    again = answer_logits_after(model, prefix, ids[:, 8:], at)
    assert torch.equal(first, again)
    assert all(
        torch.equal(keys, kept) for (keys, _), kept in zip(prefix.layers, before, strict=True)
    )
    whole = answer_logits(model, ids, torch.full((3, 1), 11))
    torch.testing.assert_close(first, whole, rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_few_tokens_have_the_logits_that_all_have(architecture: str) -> None:
    model, at = tiny_lm(architecture), torch.tensor([[4], [6], [2]])
    head = model.get_output_embeddings()
    full = answer_logits(model, tokens(), at)
    with only_tokens(model, [9, 5]) as columns:
        few = answer_logits(model, tokens(), at)
    assert (few.shape[-1], columns) == (2, [0, 1])
    torch.testing.assert_close(few[..., columns], full[..., [9, 5]], rtol=1e-5, atol=1e-7)
    assert model.get_output_embeddings() is head
    assert torch.equal(answer_logits(model, tokens(), at), full)


@torch.no_grad()
def test_a_projection_with_a_bias_keeps_it() -> None:
    head = nn.Linear(4, 6)
    x = torch.randn(2, 4)
    torch.testing.assert_close(FewTokens(head, [5, 0])(x), head(x)[:, [5, 0]])


@torch.no_grad()
def test_in_half_precision_the_few_logits_are_finer_than_bfloat16() -> None:
    model = tiny_lm().bfloat16()
    with only_tokens(model, [9, 5]):
        few = answer_logits(model, tokens(), torch.tensor([[4], [6], [2]]))
    assert few.dtype == torch.float32
    assert not torch.equal(few, few.bfloat16().float())


@torch.no_grad()
def test_a_projection_that_carries_an_adapter_is_left_as_it_is() -> None:
    from reclora_cli.lora import attach

    model = tiny_lm()
    attach(model, experts=1, targets=("lm_head",))
    head = model.get_output_embeddings()
    with only_tokens(model, [9, 5]) as columns:
        assert columns == [9, 5]
        assert model.get_output_embeddings() is head


def test_the_projection_is_put_back_after_an_error() -> None:
    model = tiny_lm()
    head = model.get_output_embeddings()
    with pytest.raises(ZeroDivisionError), only_tokens(model, [9, 5]):
        raise ZeroDivisionError
    assert model.get_output_embeddings() is head
