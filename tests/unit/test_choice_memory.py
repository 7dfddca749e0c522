"""Out of memory while candidates are scored: passes are halved once, and said so; then an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from reclora_cli.errors import RecloraError
from reclora_cli.scoring.choice_scorer import choose
from tests.scoring import adapter, prompts
from tests.tiny_lms import tiny_lm
from tests.unit.test_scoring_memory import Heard, cramped

END = 2
ANSWERS = [[[5 + at, 7, END] for at in range(7)]] * 2


def likelihoods(model: Any, made: Any, **settings: Any) -> np.ndarray:
    settings = {"batch_tokens": 10_000, "prefix": "always", "generate": False} | settings
    found = choose(
        model,
        made,
        prompts(2),
        ANSWERS,
        None,
        device=torch.device("cpu"),
        end_id=END,
        longest=4,
        **settings,
    )
    return found.log_likelihood


@pytest.mark.parametrize("prefix", ["always", "never"])
def test_passes_are_halved_once_and_it_is_said(prefix: str) -> None:
    model, heard = tiny_lm(), Heard()
    made = adapter("none", model)
    whole = likelihoods(model, made, prefix=prefix)
    seen = cramped(model, most=4)
    found = likelihoods(model, made, prefix=prefix, progress=heard)
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-5)
    assert seen == ([1, 7, 4, 3, 1, 4, 3] if prefix == "always" else [7, 4, 3, 4, 3])
    assert heard.warnings == [
        "out of memory with 7 prompts at once: batches are halved from here on"
    ]


def test_what_half_does_not_help_is_an_error_that_names_the_remedy() -> None:
    model = tiny_lm()
    made = adapter("none", model)
    cramped(model, most=3)
    with pytest.raises(RecloraError, match="out of memory with 4 prompts at once") as caught:
        likelihoods(model, made)
    assert "--set evaluate.batch_tokens=2500" in str(caught.value.hint)


@pytest.mark.parametrize("prefix", ["always", "never"])
def test_a_single_prompt_that_does_not_fit_is_an_error(prefix: str) -> None:
    model = tiny_lm()
    made = adapter("none", model)
    cramped(model, most=0)
    with pytest.raises(RecloraError, match="out of memory with"):
        likelihoods(model, made, prefix=prefix, batch_tokens=1)


def test_an_answer_that_cannot_be_decoded_for_want_of_memory_is_an_error() -> None:
    model = tiny_lm()
    made = adapter("none", model)
    forward, seen = model.model.forward, []

    def limited(*args: Any, **kwargs: Any) -> Any:
        seen.append(len(kwargs["input_ids"]))
        if len(seen) > 2:  # The prompt and its candidates first.
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(*args, **kwargs)

    model.model.forward = limited
    with pytest.raises(RecloraError, match="out of memory with one prompt"):
        likelihoods(model, made, generate=True)
    assert seen == [1, 7, 1]


def test_another_error_is_passed_on() -> None:
    model = tiny_lm()
    made = adapter("none", model)
    model.model.forward = lambda **_: (_ for _ in ()).throw(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        likelihoods(model, made)
