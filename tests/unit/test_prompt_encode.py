"""Prompts are tokenised once, kept flat, and shortened when they do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from reclora_cli.data.histories import recent
from reclora_cli.errors import RecloraError
from reclora_cli.lm.framing import Framing
from reclora_cli.prompt import encode
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.prompt.movies import MOVIES_WITH_PROFILE
from reclora_cli.prompt.write import PromptWriter
from tests.tiny_lm import tiny_tokenizer
from tests.world import TinyWorld

PLENTY = 10_000


@pytest.fixture(scope="module")
def framing() -> Framing:
    return Framing.of(tiny_tokenizer())


@pytest.fixture(scope="module")
def writer(tiny_world: TinyWorld) -> PromptWriter:
    return PromptWriter(tiny_world.store, MOVIES_WITH_PROFILE)


@pytest.fixture(scope="module")
def questions(tiny_world: TinyWorld) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    store, rows = tiny_world.store, np.arange(40)
    return store.row_user(rows), store.row_item(rows), recent(store, rows, 6)


def test_each_prompt_is_its_text_encoded_alone(writer, framing, questions, monkeypatch):
    monkeypatch.setattr(encode, "_BLOCK", 7)
    found = EncodedPrompts.of(writer, framing, *questions, limit=PLENTY)
    expected = [framing.encode([text])[0] for text in writer.text(*questions)]
    assert [found[at].tolist() for at in range(len(found))] == expected
    assert found.lengths.tolist() == [len(ids) for ids in expected]
    assert found.shortened == 0


def test_a_prompt_too_long_loses_its_oldest_behaviours_and_no_more_than_it_must(
    writer, framing, questions
):
    users, items, positions = questions
    whole = EncodedPrompts.of(writer, framing, *questions, limit=PLENTY)
    limit = int(np.median(whole.lengths)) - 10
    found = EncodedPrompts.of(writer, framing, *questions, limit=limit)
    assert found.shortened == int((whole.lengths > limit).sum()) > 0
    for at in range(len(found)):
        fitting = [
            ids
            for dropped in range(7)
            if len(
                ids := framing.encode(
                    writer.text(users[[at]], items[[at]], positions[[at], dropped:])
                )[0]
            )
            <= limit
        ]
        assert found[at].tolist() == fitting[0]


def test_a_prompt_too_long_without_behaviours_is_an_error(writer, framing, questions):
    with pytest.raises(RecloraError, match="context of 5 tokens"):
        EncodedPrompts.of(writer, framing, *questions, limit=5)


def test_no_prompts_are_no_tokens(writer, framing, questions):
    found = EncodedPrompts.of(writer, framing, *(part[:0] for part in questions), limit=PLENTY)
    assert len(found) == 0
    assert found.lengths.tolist() == []


def test_concatenated_prompts_follow_one_another():
    one, two = (
        EncodedPrompts.from_lists([[1, 2], [3]], 1),
        EncodedPrompts.from_lists([[4, 5, 6]], 2),
    )
    found = EncodedPrompts.concatenate([one, two])
    assert [found[at].tolist() for at in range(3)] == [[1, 2], [3], [4, 5, 6]]
    assert found.shortened == 3


def test_chosen_prompts_are_padded_on_the_right():
    found = EncodedPrompts.from_lists([[1, 2, 3], [4], [5, 6]])
    assert found.padded(np.array([1, 0]), pad_id=9).tolist() == [[4, 9, 9], [1, 2, 3]]
    assert found.padded(np.array([2, 1])).tolist() == [[5, 6], [4, 0]]
