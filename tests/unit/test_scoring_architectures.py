"""Scores are the same alone and in a batch, whole and after a shared prefix, on every family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from reclora_cli.errors import UsageError
from reclora_cli.lora.adapters import Adapter, PlainLora
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.lm_scorer import answer
from tests.scoring import ANSWERS, KINDS, adapter, candidates, guides, prompts
from tests.tiny_lms import ARCHITECTURES, tiny_lm

CPU = torch.device("cpu")
ALONE, TOGETHER = 1, 4096
GATED = ("product", "weights", "full")


def asked(
    model: Any, made: Adapter, encoded: EncodedPrompts, represented: np.ndarray, **settings: Any
) -> np.ndarray:
    settings = {"batch_tokens": TOGETHER, "prefix": "never", "device": CPU} | settings
    return answer(model, made, ANSWERS, encoded, represented, **settings).probability


def wide_awake(architecture: str) -> Any:
    """A tiny LM whose weights are large enough for its layers and positions to matter."""
    model = tiny_lm(architecture)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8.0)
    return model


@torch.no_grad()
def as_usually_done(
    model: Any, made: Adapter, encoded: EncodedPrompts, represented: np.ndarray
) -> np.ndarray:
    """P(yes) as Transformers documents batches: left-padded, masked, positions counted by hand."""
    longest = int(encoded.lengths.max())
    ids = torch.zeros(len(encoded), longest, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for at, length in enumerate(encoded.lengths):
        ids[at, longest - length :] = torch.from_numpy(encoded[at].astype(np.int64))
        mask[at, longest - length :] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with made.personalised(torch.from_numpy(represented)):
        logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, -1]
    two = logits[:, [ANSWERS.yes_id, ANSWERS.no_id]].double()
    return torch.softmax(two, -1)[:, 0].numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_at_a_time_all_at_once_and_left_padded_agree(architecture: str, kind: str) -> None:
    model, encoded, represented = wide_awake(architecture), prompts(), guides()
    made = adapter(kind, model)
    alone = asked(model, made, encoded, represented, batch_tokens=ALONE)
    together = asked(model, made, encoded, represented)
    usual = as_usually_done(model, made, encoded, represented)
    assert alone.std() > 1e-3
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(usual, alone, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_shared_prefix_changes_no_score(architecture: str, kind: str) -> None:
    model, encoded, represented = wide_awake(architecture), candidates(), guides(same=True)
    made = adapter(kind, model)
    whole = answer(
        model, made, ANSWERS, encoded, represented, device=CPU, batch_tokens=ALONE, prefix="never"
    )
    shared = answer(
        model, made, ANSWERS, encoded, represented, device=CPU, batch_tokens=30, prefix="always"
    )
    assert whole.probability.std() > 1e-3
    np.testing.assert_allclose(shared.probability, whole.probability, atol=1e-5)
    assert shared.computed_tokens < whole.computed_tokens / 2


@pytest.mark.parametrize("kind", GATED)
def test_a_gate_that_reads_the_target_shares_nothing_and_says_so(kind: str) -> None:
    model, encoded, represented = tiny_lm(), candidates(), guides()
    made = adapter(kind, model)
    whole = asked(model, made, encoded, represented, batch_tokens=ALONE)
    np.testing.assert_allclose(asked(model, made, encoded, represented, prefix="auto"), whole)
    with pytest.raises(UsageError, match="gives each prompt weights of its own") as caught:
        asked(model, made, encoded, represented, prefix="always")
    assert "gate.input=user" in str(caught.value.hint)


def test_automatically_a_prefix_is_shared_where_it_pays() -> None:
    model = tiny_lm()
    made = adapter("product", model)
    many, same = candidates(12), guides(12, same=True)

    def computed(encoded: EncodedPrompts, represented: np.ndarray, prefix: Any) -> int:
        return answer(
            model,
            made,
            ANSWERS,
            encoded,
            represented,
            device=CPU,
            batch_tokens=TOGETHER,
            prefix=prefix,
        ).computed_tokens

    assert computed(many, same, "auto") == computed(many, same, "always")
    assert computed(many, guides(12), "auto") == computed(many, same, "never")
    assert computed(candidates(2), guides(2, same=True), "auto") > 40  # 20 tokens saved: too few


def test_prompts_of_two_users_are_two_groups_and_others_are_asked_alone() -> None:
    model = wide_awake("llama")
    made = adapter("product", model)
    encoded = EncodedPrompts.concatenate([candidates(6), candidates(6, seed=50), prompts(3)])
    represented = np.concatenate([guides(6, same=True), guides(6, same=True) + 1, guides(3)])
    mixed = np.random.default_rng(0).permutation(15)
    encoded = EncodedPrompts.from_lists([encoded[int(at)].tolist() for at in mixed])
    whole = asked(model, made, encoded, represented[mixed], batch_tokens=ALONE)
    shared = asked(model, made, encoded, represented[mixed], prefix="always", batch_tokens=60)
    np.testing.assert_allclose(shared, whole, atol=1e-5)


def test_nothing_asked_is_nothing_answered() -> None:
    model = tiny_lm()
    for kind in ("none", "product"):
        made = adapter(kind, tiny_lm())
        assert len(asked(model, made, EncodedPrompts.from_lists([]), guides(0), prefix="auto")) == 0


def test_the_default_targets_on_gpt2_are_an_error_that_lists_its_projections() -> None:
    model = tiny_lm("gpt2")
    with pytest.raises(UsageError, match="no linear layer is named 'q_proj'") as caught:
        PlainLora.make(model, rank=2, alpha=4.0, targets=["q_proj", "v_proj"], dropout=0.0, seed=0)
    assert "c_attn, c_fc, c_proj, lm_head" in str(caught.value.hint)
