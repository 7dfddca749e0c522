"""The two answers as tokens: derived from the tokenizer and its framing, never hard-coded.

Scored are the first tokens (Eq. 16); trained are all of them and the end token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reclora_cli.errors import UsageError
from reclora_cli.lm.framing import Framing

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE = "You should ONLY tell me yes or no."
_OTHERS = (
    ("Yes.", "No."),
    ("yes", "no"),
    ("True", "False"),
    ("good", "bad"),
    ("A", "B"),
    ("1", "0"),
)
_PUNCTUATION = ".!?,;: "


@dataclass(frozen=True)
class Answers:
    """Token ids of a like and a dislike.

    Attributes:
        yes_id, no_id: the single, distinct tokens whose logits are compared.
        yes_ids, no_ids: the whole answers, with the end token; what training learns.
    """

    yes_id: int
    no_id: int
    yes_ids: tuple[int, ...]
    no_ids: tuple[int, ...]

    @classmethod
    def of(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        framing: Framing,
        yes: str = "Yes.",
        no: str = "No.",
    ) -> Answers:
        """The answers' tokens in the place where the framing puts them.

        Raises:
            UsageError: an answer's first word is not a single token there, or both are the same.
                Answers that would do are named.
        """
        yes_ids, no_ids = _answer_ids(framing, yes), _answer_ids(framing, no)
        problem = _problem(tokenizer, (yes, yes_ids), (no, no_ids))
        if problem:
            raise UsageError(problem, where="lm.yes, lm.no", hint=_others(tokenizer, framing))
        end = () if framing.end_id is None else (framing.end_id,)
        return cls(yes_ids[0], no_ids[0], (*yes_ids, *end), (*no_ids, *end))

    @property
    def longest(self) -> int:
        """Tokens of the longer answer, with its end token."""
        return max(len(self.yes_ids), len(self.no_ids))


def _answer_ids(framing: Framing, answer: str) -> tuple[int, ...]:
    """The tokens that an answer adds to a prompt.

    Where a tokenizer would merge the prompt's end with the answer's start, the answer is tokenised
    by itself: the LM is always given the prompt's own tokens first.
    """
    [prompt] = framing.encode([_PROBE])
    whole = framing.encode_with(_PROBE, answer)
    if whole[: len(prompt)] == prompt:
        return tuple(whole[len(prompt) :])
    alone = framing.tokenizer(f"{framing.answer_prefix}{answer}", add_special_tokens=False)
    return tuple(alone["input_ids"])


def _problem(
    tokenizer: PreTrainedTokenizerBase,
    yes: tuple[str, tuple[int, ...]],
    no: tuple[str, tuple[int, ...]],
) -> str | None:
    for answer, ids in (yes, no):
        word = next(iter(answer.split()), "").strip(_PUNCTUATION)
        first = tokenizer.decode(list(ids[:1])).strip()
        if not word or first != word:
            return (
                f"the answer {answer!r} does not start with one token {word!r} "
                f"in this tokenizer, but with {first!r}"
            )
    if yes[1][0] == no[1][0]:
        return f"the answers {yes[0]!r} and {no[0]!r} start with the same token"
    return None


def _others(tokenizer: PreTrainedTokenizerBase, framing: Framing) -> str:
    fitting = [
        f"{yes} / {no}"
        for yes, no in _OTHERS
        if not _problem(tokenizer, (yes, _answer_ids(framing, yes)), (no, _answer_ids(framing, no)))
    ]
    if not fitting:
        return "Choose two words that are single tokens, with --set lm.yes=... --set lm.no=..."
    return f"These would do: {', '.join(fitting)}; set them with --set lm.yes=... --set lm.no=..."
