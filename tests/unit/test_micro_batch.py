"""How many tokens are computed at once: within the memory there is, halved when it ends."""

from __future__ import annotations

import pytest

from reclora_cli.errors import RecloraError
from reclora_cli.progress import SilentProgress
from reclora_cli.training.memory import Memory
from reclora_cli.training.micro_batch import MicroBatchTokens, choose

LONGEST = 100


def memory_of(rows: int, recompute: bool) -> Memory:
    """1,000 bytes, and 100 a row, or 10 when activations are computed again."""
    return Memory(1000, 0, 0, 0, rows * (10 if recompute else 100), 0, 0, 0, 0, 0)


def chosen(budget: int | None, **changed):
    settings = {"wanted": "auto", "checkpointing": "auto", "kind": "cpu"} | changed
    batch_size = settings.pop("batch_size", 8)
    return choose(memory_of, LONGEST, batch_size, budget=budget, **settings)


@pytest.mark.parametrize(
    ("budget", "tokens", "recompute"),
    [
        (None, 800, False),  # nothing tells: a whole batch
        (10_000, 800, False),  # a whole batch fits
        (1_500, 500, False),  # five rows fit
        (1_100, 100, False),  # one row fits
        (1_050, 500, True),  # not one, but five computed again
        (1_000, 100, True),  # nothing fits: one row, and a warning elsewhere
    ],
)
def test_auto_takes_the_most_rows_that_fit_and_computes_again_only_if_none_would(
    budget: int | None, tokens: int, recompute: bool
) -> None:
    plan = chosen(budget)
    assert (plan.tokens, plan.recompute) == (tokens, recompute)
    assert plan.fits == (budget != 1_000)


def test_a_micro_batch_is_no_larger_than_is_of_use_on_the_device() -> None:
    assert chosen(None, batch_size=64).tokens == 1280
    assert chosen(None, batch_size=64, kind="cuda").tokens == 6400


@pytest.mark.parametrize(("checkpointing", "recompute"), [("on", True), ("off", False)])
def test_gradient_checkpointing_is_as_the_recipe_says(checkpointing: str, recompute: bool) -> None:
    assert chosen(10_000, checkpointing=checkpointing).recompute is recompute
    assert chosen(1_050, checkpointing=checkpointing).recompute is recompute


def test_a_given_number_of_tokens_is_kept_whatever_fits() -> None:
    plan = chosen(1_250, wanted=300)
    assert (plan.tokens, plan.recompute, plan.fits) == (300, False, False)
    assert chosen(1_050, wanted=300).recompute


def test_it_is_halved_once_and_told_the_second_time_is_an_error_with_options() -> None:
    told: list[str] = []

    class Listening(SilentProgress):
        def warn(self, message: str) -> None:
            told.append(message)

    size = MicroBatchTokens(1280, Listening())
    size.halve(6, "DefaultCPUAllocator: can't allocate memory")
    assert int(size) == 640
    assert told == [
        "out of memory at step 7: micro-batches of 640 tokens from now on, not 1,280; "
        "the step is taken again from its start"
    ]
    with pytest.raises(RecloraError, match=r"out of memory at step 8.*640 tokens") as error:
        size.halve(7, "CUDA out of memory.")
    for option in ("micro_batch_tokens=320", "gradient_checkpointing=on", "quantisation=8bit"):
        assert option in str(error.value.hint)
