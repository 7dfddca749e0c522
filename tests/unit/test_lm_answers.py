"""The answers' tokens are derived from the tokenizer, single and distinct, or it is an error."""

from __future__ import annotations

import pytest

from reclora_cli.errors import UsageError
from reclora_cli.lm.answers import Answers
from reclora_cli.lm.framing import Framing
from tests.tiny_lm import tiny_tokenizer


def _answers(yes: str = "Yes.", no: str = "No.", *, template: str = "auto") -> Answers:
    tokenizer = tiny_tokenizer()
    return Answers.of(tokenizer, Framing.of(tokenizer, template), yes, no)


def _texts(ids: tuple[int, ...]) -> list[str]:
    return tiny_tokenizer().convert_ids_to_tokens(list(ids))


def test_in_a_chat_turn_the_answer_starts_without_a_space_and_ends_with_the_turn():
    answers = _answers()
    assert _texts(answers.yes_ids) == ["Yes", ".", "<|im_end|>"]
    assert _texts(answers.no_ids) == ["No", ".", "<|im_end|>"]


def test_after_a_bare_prompt_the_answer_starts_with_a_space_and_ends_with_the_end_token():
    answers = _answers(template="off")
    assert _texts(answers.yes_ids) == ["ĠYes", ".", "<|im_end|>"]
    assert _texts((answers.no_id,)) == ["ĠNo"]


def test_scored_are_the_first_tokens():
    answers = _answers()
    assert (answers.yes_id, answers.no_id) == (answers.yes_ids[0], answers.no_ids[0])
    assert answers.yes_id != answers.no_id


def test_the_longest_answer_counts_its_end_token():
    assert _answers("Yes, said.", "No.").longest == 5


def test_an_answer_of_several_tokens_is_an_error_that_offers_others():
    with pytest.raises(UsageError, match="does not start with one token 'Definitely'") as error:
        _answers("Definitely.", "No.")
    assert "Yes. / No." in str(error.value.hint)


def test_answers_with_the_same_first_token_are_an_error():
    with pytest.raises(UsageError, match="same token"):
        _answers("Yes.", "Yes")


def test_an_empty_answer_is_an_error():
    with pytest.raises(UsageError, match="does not start with one token"):
        _answers(".", "No.")


def test_a_tokenizer_that_merges_across_the_border_keeps_the_prompts_own_tokens():
    """A vocabulary with the token ``no.Yes`` must not swallow the prompt's end."""
    tokenizer = tiny_tokenizer(None)
    framing = Framing.of(tokenizer)
    from dataclasses import replace

    glued = replace(framing, answer_prefix="")
    tokenizer.add_tokens(["no.Yes"])
    answers = Answers.of(tokenizer, glued)
    assert tokenizer.convert_ids_to_tokens(list(answers.yes_ids)) == ["Yes", ".", "<|im_end|>"]
