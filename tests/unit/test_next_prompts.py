"""Prompts of the task next, held against texts and ids that were put together by hand."""

from __future__ import annotations

import numpy as np
import pytest

from reclora_cli.catalog import NEXT_TEMPLATES
from reclora_cli.errors import RecloraError
from reclora_cli.lm.framing import Framing
from reclora_cli.prompt.next_encode import NextPrompts
from reclora_cli.prompt.next_wordings import FILMS
from tests.tiny_lm import tiny_tokenizer

TITLES = ["Heat (1995)", "Crying Game, The (1992)", "Alien (1979)", "L'Été (1996)"]
BY_HAND = (
    "A user has watched these movies, the latest at the end:\n"
    "Crying Game, The (1992); Heat (1995).\n"
    "One of the following movies is what the user will watch next:\n"
    "L'Été (1996); Alien (1979).\n"
    "Answer with the name of that movie only."
)
HISTORY, CANDIDATES = [1, 0], [3, 2]
MANY = 10_000

FRAMINGS = {
    "chat template": Framing.of(tiny_tokenizer()),
    "bare": Framing.of(tiny_tokenizer(), "off"),
    "a begin token": Framing(tiny_tokenizer(), "", "", " ", end_id=2, before_ids=(1,)),
}


def writer(framing: Framing, limit: int = MANY, titles: list[str] = TITLES) -> NextPrompts:
    return NextPrompts(framing, FILMS, titles, len(framing.tokenizer), limit)


def encoded(prompts: NextPrompts, history: list[int], **how: bool) -> list[int]:
    wanted = {name: np.array([value]) for name, value in how.items()}
    padded = np.array([[*history, -1, -1]])
    return prompts.encode(padded, np.array([CANDIDATES]), **wanted)[0].tolist()


@pytest.mark.parametrize("name", NEXT_TEMPLATES)
def test_each_wording_says_history_and_candidates_once_in_this_order(name: str) -> None:
    family = NEXT_TEMPLATES.load(name)
    assert len(family.wordings) > 1
    assert len(set(family.wordings)) == len(family.wordings)
    for at, wording in enumerate(family.wordings):
        assert wording.count("{history}") == wording.count("{candidates}") == 1
        assert "{" not in "".join(family.parts(at))
        assert "HISTORY".join(family.parts(at)[:2]) == wording.split("{candidates}")[0].replace(
            "{history}", "HISTORY"
        )


def test_a_text_prompt_reads_as_written_by_hand() -> None:
    prompts = writer(FRAMINGS["bare"])
    assert prompts.text(HISTORY, CANDIDATES) == BY_HAND
    assert prompts.text(HISTORY, CANDIDATES, wording=1).startswith("These are the last movies of")


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
def test_text_prompts_are_framed_as_any(framing: Framing) -> None:
    assert encoded(writer(framing), HISTORY) == framing.encode([BY_HAND])[0]


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
def test_in_a_hybrid_prompt_each_titles_item_follows_it_and_the_text_stays(
    framing: Framing,
) -> None:
    ids = encoded(writer(framing), HISTORY, hybrid=True)
    vocabulary = len(framing.tokenizer)
    at = [place for place, token in enumerate(ids) if token >= vocabulary]
    assert [ids[place] - vocabulary for place in at] == HISTORY + CANDIDATES
    for place in at:
        before = framing.tokenizer.decode(ids[:place])
        assert before.endswith(TITLES[ids[place] - vocabulary])
    words = [token for token in ids if token < vocabulary]
    whole = framing.tokenizer.decode([*framing.before_ids]) + framing.frame(BY_HAND)
    assert framing.tokenizer.decode(words) == whole


def test_a_hybrid_prompt_without_a_history_keeps_its_opening() -> None:
    framing = FRAMINGS["bare"]
    ids = encoded(writer(framing), [], hybrid=True)
    words = [token for token in ids if token < len(framing.tokenizer)]
    assert framing.tokenizer.decode(words) == writer(framing).text([], CANDIDATES)


@pytest.mark.parametrize("hybrid", [False, True])
def test_what_is_too_long_loses_its_oldest_items_alone(hybrid: bool) -> None:
    framing, history = FRAMINGS["chat template"], [2, 1, 0]
    whole = encoded(writer(framing), history, hybrid=hybrid)
    shorter = encoded(writer(framing), history[1:], hybrid=hybrid)
    assert len(shorter) < len(whole)
    assert encoded(writer(framing, len(whole)), history, hybrid=hybrid) == whole
    assert encoded(writer(framing, len(whole) - 1), history, hybrid=hybrid) == shorter


def test_shortened_prompts_are_counted() -> None:
    framing = FRAMINGS["bare"]
    short = encoded(writer(framing), [0])
    history, candidates = np.array([[1, 0], [0, -1]]), np.array([CANDIDATES] * 2)
    found = writer(framing, len(short)).encode(history, candidates)
    assert found.shortened == 1
    assert found[0].tolist() == found[1].tolist() == short


def test_a_prompt_that_does_not_fit_with_one_item_names_its_longest_title() -> None:
    titles = [*TITLES[:3], "A very long title " * 9]
    with pytest.raises(RecloraError, match="even with one item of history") as caught:
        encoded(writer(FRAMINGS["bare"], 40, titles), HISTORY)
    assert "A very long title" in str(caught.value)
    assert titles[3] not in str(caught.value)
    assert "next.candidates" in str(caught.value.hint)


def test_each_row_has_its_own_wording_and_may_be_hybrid_or_not() -> None:
    framing = FRAMINGS["bare"]
    prompts = writer(framing)
    history, candidates = np.array([HISTORY] * 3), np.array([CANDIDATES] * 3)
    found = prompts.encode(history, candidates, np.array([0, 1, 1]), np.array([False, False, True]))
    assert found[0].tolist() == framing.encode([BY_HAND])[0]
    assert found[1].tolist() == framing.encode([prompts.text(HISTORY, CANDIDATES, 1)])[0]
    assert (found[1] < len(framing.tokenizer)).all()
    assert (found[2] >= len(framing.tokenizer)).sum() == 4
