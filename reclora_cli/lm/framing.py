"""From a prompt's text to the token ids after which the answer starts.

With a chat template the prompt is one user turn, and the assistant's turn is opened. Without one
(or with ``chat_template: off``) the text stands alone. Nothing here knows a model by name: what a
template does is found by rendering small conversations with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from reclora_cli.errors import RecloraError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FIRST, _REPLY, _SECOND = "reclora-first-turn", "reclora-reply", "reclora-second-turn"
"""Words that no template adds itself, to find the turns in what it renders."""


@dataclass(frozen=True)
class Framing:
    """How a prompt is put to one LM.

    Attributes:
        before: text in front of the prompt.
        after: text behind it; the answer follows.
        answer_prefix: what stands between ``after`` and the answer's first letter (`` `` or empty).
        end_id: token that ends an answer, or ``None`` if the tokenizer has none.
        before_ids: tokens in front of ``before`` that the tokenizer adds to a bare text.
        system: text of a system message that the template insists on; empty when there is none.
    """

    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    before: str
    after: str
    answer_prefix: str
    end_id: int | None
    before_ids: tuple[int, ...] = ()
    system: str = ""

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, chat_template: Literal["auto", "off"] = "auto"
    ) -> Framing:
        """The framing of a tokenizer: its chat template if it has one and may be used.

        Raises:
            RecloraError: the template does not put the user's words into what it renders.
        """
        if chat_template == "auto" and getattr(tokenizer, "chat_template", None):
            return _chat(tokenizer)
        return cls(
            tokenizer,
            before="",
            after="",
            answer_prefix=" ",
            end_id=tokenizer.eos_token_id,
            before_ids=_leading_ids(tokenizer),
        )

    def frame(self, text: str) -> str:
        """The text the LM reads, up to where the answer starts."""
        return f"{self.before}{text}{self.after}"

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each prompt, up to where the answer starts."""
        if not texts:
            return []
        framed = [self.frame(text) for text in texts]
        found = self.tokenizer(framed, add_special_tokens=False, return_attention_mask=False)
        ids: list[list[int]] = found["input_ids"]
        return [[*self.before_ids, *row] for row in ids] if self.before_ids else ids

    def encode_with(self, text: str, answer: str) -> list[int]:
        """Token ids of a prompt followed by an answer, tokenised as one text."""
        whole = f"{self.frame(text)}{self.answer_prefix}{answer}"
        return [*self.before_ids, *self.tokenizer(whole, add_special_tokens=False)["input_ids"]]


def _chat(tokenizer: PreTrainedTokenizerBase) -> Framing:
    opened = _render(tokenizer, [("user", _FIRST)], opened=True)
    front, found, after = opened.partition(_FIRST)
    if not found:
        raise RecloraError(
            "the chat template loses the user's words",
            where="lm.chat_template",
            hint="Use --set lm.chat_template=off.",
        )
    before, system = _without_system(tokenizer, front)
    return Framing(
        tokenizer,
        before=before,
        after=after,
        answer_prefix=_gap(tokenizer, opened),
        end_id=_end_of_turn(tokenizer),
        system=system,
    )


def _without_system(tokenizer: PreTrainedTokenizerBase, front: str) -> tuple[str, str]:
    """``front`` without a default system message, and what of one had to stay.

    How a user's turn opens is read off a second turn, where no system message stands. What stands
    before that in the first turn is the message, but for the token that begins every text.
    """
    opening = _opening_of_a_later_turn(tokenizer)
    if not opening or not front.endswith(opening):
        return front, front if _has_default_system(tokenizer, front) else ""
    lead = front.removesuffix(opening)
    if _only_special(tokenizer, lead):
        return front, ""
    start = tokenizer.bos_token or ""
    # ChatML tokenizers name <|im_start|>, which opens each turn, as the token that begins a text.
    begins = start if lead.startswith(start) and not opening.startswith(start) else ""
    return begins + opening, ""


def _opening_of_a_later_turn(tokenizer: PreTrainedTokenizerBase) -> str:
    talk = [("user", _FIRST), ("assistant", _REPLY), ("user", _SECOND)]
    try:
        whole = _render(tokenizer, talk, opened=False)
        end = _render(tokenizer, talk[:2], opened=False).partition(_REPLY)[2]
    except RecloraError:
        return ""
    between = whole.partition(_REPLY)[2].partition(_SECOND)[0]
    return between.removeprefix(end) if between.startswith(end) else ""


def _has_default_system(tokenizer: PreTrainedTokenizerBase, front: str) -> bool:
    """Whether ``front`` opens as it does when a system message is given."""
    try:
        given = _render(tokenizer, [("system", _REPLY), ("user", _FIRST)], opened=True)
    except RecloraError:
        return False
    return bool(given.partition(_REPLY)[0]) and front.startswith(given.partition(_REPLY)[0])


def _gap(tokenizer: PreTrainedTokenizerBase, opened: str) -> str:
    """What the template writes between the opened assistant's turn and its first letter."""
    try:
        answered = _render(tokenizer, [("user", _FIRST), ("assistant", _REPLY)], opened=False)
    except RecloraError:
        answered = ""
    front, found, _ = answered.partition(_REPLY)
    if found and front.startswith(opened):
        return front.removeprefix(opened)
    return "" if opened[-1:].isspace() or _ends_in_special(tokenizer, opened) else " "


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The special token behind an assistant's words, else the tokenizer's end token."""
    try:
        answered = _render(tokenizer, [("user", _FIRST), ("assistant", _REPLY)], opened=False)
    except RecloraError:
        return tokenizer.eos_token_id
    behind = tokenizer(answered.partition(_REPLY)[2], add_special_tokens=False)["input_ids"]
    special = set(_special_tokens(tokenizer))
    return next((token for token in behind if token in special), tokenizer.eos_token_id)


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Id -> text of every token that is not made of ordinary words."""
    added = tokenizer.added_tokens_decoder
    return {token: str(content) for token, content in added.items() if content.special}


def _only_special(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    for content in _special_tokens(tokenizer).values():
        text = text.replace(content, "")
    return not text.strip()


def _ends_in_special(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    return text.endswith(tuple(_special_tokens(tokenizer).values()))


def _leading_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Ids the tokenizer puts in front of every text (a begin token, or nothing)."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a", add_special_tokens=True)["input_ids"]
    at = next((at for at in range(len(full)) if full[at : at + len(bare)] == bare), 0)
    return tuple(full[:at])


def _render(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[tuple[str, str]], *, opened: bool
) -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        return tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=opened, enable_thinking=False
        )
    except Exception as error:  # a template may raise anything
        raise RecloraError(
            f"the chat template cannot be rendered ({error})",
            where="lm.chat_template",
            hint="Use --set lm.chat_template=off.",
        ) from error
