"""Out of memory while scoring: batches are halved once, and it is said; then a clear error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from reclora_cli.errors import RecloraError
from reclora_cli.progress import SilentProgress
from reclora_cli.scoring.lm_scorer import answer
from tests.scoring import ANSWERS, adapter, prompts
from tests.tiny_lms import tiny_lm

CPU = torch.device("cpu")


class Heard(SilentProgress):
    """A progress that keeps its warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def cramped(model: Any, most: int) -> list[int]:
    """Let ``model`` run out of memory with more than ``most`` samples; return the sizes it saw."""
    seen: list[int] = []
    forward = model.model.forward

    def limited(*args: Any, **kwargs: Any) -> Any:
        ids = kwargs["input_ids"]
        seen.append(len(ids))
        if len(ids) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(*args, **kwargs)

    model.model.forward = limited
    return seen


def ask(model: Any, **settings: Any) -> np.ndarray:
    made = adapter("none", model)
    settings = {"device": CPU, "batch_tokens": 10_000, "prefix": "never"} | settings
    return answer(model, made, ANSWERS, prompts(7), None, **settings).probability


def test_batches_are_halved_once_and_it_is_said() -> None:
    model, heard = tiny_lm(), Heard()
    whole = ask(model)
    seen = cramped(model, most=4)
    np.testing.assert_allclose(ask(model, progress=heard), whole, atol=1e-6)
    assert seen == [7, 4, 3]
    assert heard.warnings == [
        "out of memory with 7 prompts at once: batches are halved from here on"
    ]


def test_what_half_does_not_help_is_an_error_that_names_the_remedy() -> None:
    model = tiny_lm()
    cramped(model, most=3)
    with pytest.raises(RecloraError, match="out of memory with 4 prompts at once") as caught:
        ask(model)
    assert "--set evaluate.batch_tokens=2500" in str(caught.value.hint)


def test_another_error_is_passed_on() -> None:
    model = tiny_lm()
    model.model.forward = lambda **_: (_ for _ in ()).throw(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        ask(model)
