"""Micro-batches hold every prompt once, within the token budget, with little padding."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reclora_cli.prompt.buckets import micro_batches

LENGTHS = st.lists(st.integers(1, 400), max_size=60)
BUDGET = st.integers(1, 2000)


def _padded_tokens(lengths: np.ndarray, batch: np.ndarray) -> int:
    return len(batch) * int(lengths[batch].max())


@given(LENGTHS, BUDGET)
def test_each_prompt_is_in_one_batch(lengths: list[int], budget: int):
    batches = micro_batches(np.array(lengths, dtype=int), budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))


@given(LENGTHS, BUDGET)
def test_padded_tokens_stay_within_the_budget_unless_one_prompt_exceeds_it(
    lengths: list[int], budget: int
):
    array = np.array(lengths, dtype=int)
    for batch in micro_batches(array, budget):
        assert _padded_tokens(array, batch) <= budget or len(batch) == 1


@given(LENGTHS, BUDGET)
def test_a_batch_is_closed_only_when_the_next_prompt_would_not_fit(lengths: list[int], budget: int):
    array = np.array(lengths, dtype=int)
    batches = micro_batches(array, budget)
    for batch, following in pairwise(batches):
        assert _padded_tokens(array, np.append(batch, following[0])) > budget


def test_worked_by_hand():
    found = micro_batches(np.array([3, 10, 4, 9, 3]), 20)
    assert [batch.tolist() for batch in found] == [[1, 3], [2, 0, 4]]


def test_equally_long_prompts_keep_their_order():
    found = micro_batches(np.full(6, 5), 10)
    assert [batch.tolist() for batch in found] == [[0, 1], [2, 3], [4, 5]]


def test_less_padding_than_in_the_given_order():
    lengths = np.random.default_rng(0).integers(200, 330, size=512)
    bucketed = sum(_padded_tokens(lengths, batch) for batch in micro_batches(lengths, 4096))
    given_order = sum(_padded_tokens(lengths, batch) for batch in np.split(np.arange(512), 32))
    assert bucketed < 1.05 * lengths.sum() < given_order
