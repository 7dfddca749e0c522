"""``finetune.compile``: the same losses from compiled kernels."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from reclora_cli.lm.compiled import compiled
from reclora_cli.lm.recompute import recomputed
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.recipe import load as load_recipe
from reclora_cli.stages.make_adapter import make_adapter
from reclora_cli.training import fit
from reclora_cli.training.lm_work import Examples, lm_work

WIDTH = 6
SETTINGS = load_recipe(
    "ml-1m",
    overrides=[
        "adapter.experts=3",
        "adapter.rank=2",
        "gate.dropout=0",
        "finetune.batch_size=4",
        "finetune.micro_batch_tokens=44",
    ],
)


def losses(lm, compile_it: bool, recompute: bool = False) -> list[float]:
    """Of three steps, on prompts of several lengths, so that shapes change between passes."""
    rng = np.random.default_rng(0)
    prompts = EncodedPrompts.from_lists(
        [rng.integers(3, 300, 9 + i % 4).tolist() for i in range(12)]
    )
    represented = rng.normal(size=(12, WIDTH)).astype(np.float32)
    labels = (np.arange(12) % 2).astype(np.uint8)
    examples = Examples(prompts, labels, ((5, 6, 7), (8, 6, 7)), represented)
    adapter = make_adapter(SETTINGS, lm.model, WIDTH)
    adapter.train(True)
    work = lm_work(lm.model, adapter, examples, SETTINGS.finetune, 0, torch.device("cpu"))
    found: list[float] = []

    def note(step: int, memory: dict) -> bool:
        found.append(memory["last_loss"])
        return False

    try:
        with recomputed(lm.model, recompute), compiled(lm.model, compile_it):
            fit(work, after_step=note)
    finally:
        adapter.remove()
    return found


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_losses_are_the_same_and_the_model_is_left_as_it_was(loaded_lm) -> None:
    plain = losses(loaded_lm, compile_it=False)
    assert losses(loaded_lm, compile_it=True) == pytest.approx(plain, abs=1e-5)
    assert len(set(plain)) == 3
    assert loaded_lm.model._compiled_call_impl is None
    assert losses(loaded_lm, compile_it=False) == plain
