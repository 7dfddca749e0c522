"""Greedy decoding says what Transformers' own ``generate`` says, from a prefix and from nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from reclora_cli.lm.greedy import decode
from reclora_cli.lm.prefix import compute
from tests.tiny_lms import ARCHITECTURES, tiny_lm, tokens

LONGEST = 12


def lively(architecture: str) -> Any:
    """A tiny LM that does not say one token for ever."""
    model = tiny_lm(architecture)
    stream = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=stream))
    return model


def generated(model: Any, ids: torch.Tensor, end_id: int | None) -> list[int]:
    """Transformers' greedy answer, without the end token."""
    found = model.generate(
        input_ids=ids[None],
        attention_mask=torch.ones_like(ids[None]),
        do_sample=False,
        max_new_tokens=LONGEST,
        eos_token_id=end_id,
        pad_token_id=0,
    )[0, len(ids) :].tolist()
    return found[:-1] if found[-1] == end_id else found


@torch.no_grad()
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_tokens_as_generate(architecture: str) -> None:
    model = lively(architecture)
    model.generation_config.eos_token_id = None
    for ids in tokens(4, 11):
        expected = generated(model, ids, None)
        assert len(expected) == LONGEST
        prefix = compute(model, ids[:-1])
        assert decode(model, ids, end_id=None, longest=LONGEST, prefix=prefix) == expected
        assert decode(model, ids, end_id=None, longest=LONGEST) == expected


@torch.no_grad()
@pytest.mark.parametrize("shared", [True, False])
def test_it_stops_at_the_end_token_and_leaves_it_out(shared: bool) -> None:
    model, ids = lively("llama"), tokens(1, 9)[0]
    prefix = compute(model, ids[:-1]) if shared else None
    whole = decode(model, ids, end_id=None, longest=LONGEST, prefix=prefix)
    end_id = whole[5]
    found = decode(model, ids, end_id=end_id, longest=LONGEST, prefix=prefix)
    assert found == whole[: whole.index(end_id)] == generated(model, ids, end_id)
    assert end_id not in found


@torch.no_grad()
def test_the_end_token_counts_among_the_longest() -> None:
    model, ids = lively("llama"), tokens(1, 9)[0]
    whole = decode(model, ids, end_id=None, longest=LONGEST)
    assert decode(model, ids, end_id=None, longest=3) == whole[:3]
    assert decode(model, ids, end_id=None, longest=0) == []


@torch.no_grad()
def test_a_prefix_is_left_as_it_was_and_may_be_much_shorter_than_the_text() -> None:
    model, ids = lively("mistral"), tokens(1, 14)[0]
    prefix = compute(model, ids[:4])
    before = [keys.clone() for keys, _ in prefix.layers]
    first = decode(model, ids, end_id=None, longest=LONGEST, prefix=prefix)
    assert first == decode(model, ids, end_id=None, longest=LONGEST)
    assert all(
        torch.equal(keys, kept) for (keys, _), kept in zip(prefix.layers, before, strict=True)
    )


@torch.no_grad()
def test_a_model_that_takes_no_keys_and_values_reads_everything_anew() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    from reclora_cli.lm.prefix import obstacle

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MambaForCausalLM(
            MambaConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, pad_token_id=0)
        ).eval()
    assert obstacle(model) is not None
    ids = tokens(1, 9)[0]
    assert decode(model, ids, end_id=None, longest=6) == generated(model, ids, None)[:6]
