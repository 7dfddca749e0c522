"""The memory ends in a step: smaller micro-batches once, the same result; then a clear error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reclora_cli.device import out_of_memory
from reclora_cli.errors import RecloraError
from reclora_cli.progress import SilentProgress
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.recipe import load as load_recipe
from reclora_cli.stages.make_adapter import make_adapter
from reclora_cli.training import Checkpoints, ParameterGroup, Work, fit
from reclora_cli.training.lm_work import Examples, lm_work
from reclora_cli.training.micro_batch import MicroBatchTokens

CPU, WIDTH, TOKENS = torch.device("cpu"), 6, 20


def of_cuda() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def of_the_cpu() -> None:
    torch.empty(2**60, dtype=torch.uint8)


def of_numpy() -> None:
    np.ones(2**60, dtype=np.uint8)


class Listening(SilentProgress):
    def __init__(self) -> None:
        self.told: list[str] = []

    def warn(self, message: str) -> None:
        self.told.append(message)


@pytest.fixture
def examples() -> Examples:
    rng = np.random.default_rng(0)
    prompts = EncodedPrompts.from_lists(rng.integers(3, 300, (12, TOKENS - 2)).tolist())
    represented = rng.normal(size=(12, WIDTH)).astype(np.float32)
    return Examples(
        prompts, (np.arange(12) % 2).astype(np.uint8), ((5, 6, 7), (8, 6, 7)), represented
    )


def tuned(lm, examples, tokens: int, fail=None, at: int = 0, **how):
    """The adapter after all steps; pass number ``at`` of step 2 calls ``fail`` at ``tokens``."""
    overrides = ["adapter.experts=3", "adapter.rank=2", "finetune.batch_size=4", "gate.dropout=0.3"]
    settings = load_recipe("ml-1m", overrides=overrides)
    adapter = make_adapter(settings, lm.model, WIDTH)
    adapter.train(True)
    size = MicroBatchTokens(tokens, how.pop("progress", SilentProgress()))
    work = lm_work(lm.model, adapter, examples, settings.finetune, 0, CPU, micro_batch=size)
    passes: list[int] = []
    plain = work.loss

    def loss(batch):
        passes.append(len(batch.ids_BT))
        if fail and len(passes) > at and int(size) >= how.get("until", tokens):
            fail()
        return plain(batch)

    work = replace(work, loss=loss)
    try:
        fit(work, checkpoints=how.get("checkpoints"), after_step=how.get("after_step"))
        return [tensor.detach().clone() for tensor in adapter.tensors().values()], passes
    finally:
        adapter.remove()


@pytest.mark.parametrize("fail", [of_cuda, of_the_cpu, of_numpy])
def test_the_step_is_taken_again_in_halves_and_ends_as_if_they_had_been_asked_for(
    loaded_lm, examples, fail
) -> None:
    progress = Listening()
    halved, passes = tuned(loaded_lm, examples, 4 * TOKENS, fail, progress=progress)
    asked_for, _ = tuned(loaded_lm, examples, 2 * TOKENS)
    assert all(torch.equal(a, b) for a, b in zip(halved, asked_for, strict=True))
    assert passes == [4, 2, 2, 2, 2, 2, 2]
    assert len(progress.told) == 1
    assert "micro-batches of 40 tokens from now on, not 80" in progress.told[0]


def test_gradients_of_the_part_that_did_fit_are_dropped(loaded_lm, examples) -> None:
    halved, passes = tuned(loaded_lm, examples, 2 * TOKENS, of_cuda, at=1)
    asked_for, _ = tuned(loaded_lm, examples, TOKENS)
    assert passes[:3] == [2, 2, 1]
    assert all(torch.equal(a, b) for a, b in zip(halved, asked_for, strict=True))


def test_the_second_time_is_an_error_that_names_options(loaded_lm, examples) -> None:
    with pytest.raises(RecloraError, match=r"out of memory at step 1.*40 tokens") as error:
        tuned(loaded_lm, examples, 4 * TOKENS, of_cuda, until=0)
    assert "finetune.gradient_checkpointing=on" in str(error.value.hint)


def test_a_tuning_that_goes_on_keeps_the_halved_size(loaded_lm, examples, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(step: int, memory: dict) -> bool:
        if step == 2:
            raise Killed
        return False

    checkpoints = Checkpoints(tmp_path, 1, "x")
    straight, _ = tuned(loaded_lm, examples, 4 * TOKENS, of_cuda)
    with pytest.raises(Killed):
        tuned(loaded_lm, examples, 4 * TOKENS, of_cuda, checkpoints=checkpoints, after_step=kill)
    resumed, passes = tuned(loaded_lm, examples, 4 * TOKENS, checkpoints=checkpoints)
    assert set(passes) == {2}
    assert all(torch.equal(a, b) for a, b in zip(straight, resumed, strict=True))


def test_another_error_is_not_taken_for_it(loaded_lm, examples) -> None:
    def fail() -> None:
        raise RuntimeError("expected scalar type Float but found Half")

    with pytest.raises(RuntimeError, match="scalar type"):
        tuned(loaded_lm, examples, 4 * TOKENS, fail)
    assert not out_of_memory(ValueError("out of memory"))


def test_where_nothing_can_be_made_smaller_it_is_a_clear_error() -> None:
    weight = torch.nn.Parameter(torch.ones(2))

    def batches(step: int) -> Iterator[tuple[int, float]]:
        yield 0, 1.0

    def loss(batch: int) -> torch.Tensor:
        of_cuda()
        return weight.sum()

    work = Work([ParameterGroup([weight], 1e-3)], {"w": weight}, 1, batches, loss, 1, 0)
    with pytest.raises(RecloraError, match="out of memory at step 1") as error:
        fit(work)
    assert error.value.where == "train"
