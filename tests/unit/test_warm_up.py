"""The measured rate: a little of the tuning, which changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reclora_cli.prompt.buckets import micro_batches, padding_share
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.recipe import load as load_recipe
from reclora_cli.stages.make_adapter import make_adapter
from reclora_cli.training.lm_work import Examples, lm_work
from reclora_cli.training.warm_up import measure

WIDTH = 6


@pytest.fixture
def work(loaded_lm):
    settings = load_recipe(
        "ml-1m",
        overrides=[
            "adapter.experts=3",
            "finetune.batch_size=8",
            "finetune.micro_batch_tokens=64",
        ],
    )
    rng = np.random.default_rng(0)
    prompts = EncodedPrompts.from_lists(rng.integers(3, 300, (16, 30)).tolist())
    represented = rng.normal(size=(16, WIDTH)).astype(np.float32)
    labels = (np.arange(16) % 2).astype(np.uint8)
    examples = Examples(prompts, labels, ((5, 6, 7), (8, 6, 7)), represented)
    adapter = make_adapter(settings, loaded_lm.model, WIDTH)
    adapter.train(True)
    yield lm_work(loaded_lm.model, adapter, examples, settings.finetune, 0, torch.device("cpu"))
    adapter.remove()


def test_the_rate_is_of_prompts_after_the_first_micro_batch(work) -> None:
    rate = measure(work, seconds=60)
    assert rate.rows == 16 - 2  # Two steps of eight, less the first micro-batch of two.
    assert 0 < rate.seconds_per_token < 1
    assert 0 < rate.seconds_per_step < 10


def test_it_stops_after_the_time_it_is_given(work) -> None:
    assert measure(work, seconds=0).rows == 2


def test_no_weight_and_no_random_number_is_changed(work) -> None:
    before = {name: tensor.detach().clone() for name, tensor in work.tensors.items()}
    stream = torch.random.get_rng_state()
    measure(work, seconds=0)
    assert all(torch.equal(work.tensors[name], tensor) for name, tensor in before.items())
    assert torch.equal(torch.random.get_rng_state(), stream)
    assert all(parameter.grad is None for parameter in work.parameters())


def test_padding_is_a_share_of_what_is_computed() -> None:
    lengths = np.array([4, 2, 3, 3])
    assert padding_share(lengths, [np.array([0, 1]), np.array([2, 3])]) == pytest.approx(2 / 14)
    assert padding_share(lengths, micro_batches(lengths, 4)) == 0
    assert padding_share(np.array([], dtype=np.int64), []) == 0
