"""Groups of prompts that share a prefix: by token ids and gate weights, and only where it pays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.prefix import shared_prompts

PROMPTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), max_size=12)
GATES = st.lists(st.integers(0, 1), min_size=12, max_size=12)


def groups(
    rows: list[list[int]], gates: list[int] | None = None, least_saved: int = 1
) -> list[tuple[list[int], int]]:
    read = None if gates is None else np.array(gates, dtype=np.float32)[: len(rows), None]
    found = shared_prompts(EncodedPrompts.from_lists(rows), read, least_saved=least_saved)
    return [(sorted(group.chosen.tolist()), group.length) for group in found]


def test_worked_by_hand() -> None:
    one, other = [1, 2, 3, 4], [9, 8, 7, 6, 5]
    rows = [[*one, 5], [*other, 1], [*one, 6, 7], [*other, 1, 2], [3, 3], [*one, 6, 8]]
    assert sorted(groups(rows)) == [([0, 2, 5], 4), ([1, 3], 5)]


def test_the_last_token_is_never_shared_even_of_equal_prompts() -> None:
    assert groups([[1, 2, 3], [1, 2, 3]]) == [([0, 1], 2)]
    assert groups([[1, 2, 3], [1, 2, 3, 4]]) == [([0, 1], 2)]


def test_prompts_of_different_gate_weights_share_nothing() -> None:
    rows = [[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 6]]
    assert groups(rows, [0, 1, 0]) == [([0, 2], 3)]


def test_a_beginning_that_is_less_than_half_is_not_worth_a_group() -> None:
    assert groups([[1, 2, 3, 4, 5], [1, 2, 6, 7, 8]]) == []
    assert groups([[1, 2, 3, 4], [1, 2, 6, 7]]) == [([0, 1], 2)]


def test_a_group_must_save_as_many_tokens_as_asked() -> None:
    rows = [[1, 2, 3, at] for at in range(4)]
    assert groups(rows, least_saved=9) == [([0, 1, 2, 3], 3)]
    assert groups(rows, least_saved=10) == []


def test_ids_are_compared_as_numbers_of_any_size() -> None:
    rows = [[70_000, 5, 256, 1], [70_000, 5, 1, 1], [70_000, 5, 256, 2]]
    assert groups(rows) == [([0, 1, 2], 2)]


@given(PROMPTS, GATES)
def test_a_group_shares_what_it_says_and_no_prompt_is_in_two(
    rows: list[list[int]], gates: list[int]
) -> None:
    found = groups(rows, gates)
    members = [at for chosen, _ in found for at in chosen]
    assert len(members) == len(set(members))
    for chosen, length in found:
        assert len(chosen) > 1
        assert length >= 1
        assert len({tuple(rows[at][:length]) for at in chosen}) == 1
        assert len({gates[at] for at in chosen}) == 1
        assert all(len(rows[at]) > length for at in chosen)
        assert length >= max(len(rows[at]) for at in chosen) / 2
