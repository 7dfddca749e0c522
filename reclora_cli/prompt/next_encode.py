"""Prompts of the task ``next`` as token ids: histories and candidates, by title or by title and id.

In a hybrid prompt (LLaRA) each title is followed by its item, as one id behind the vocabulary:
``vocabulary + item``. The LM's input embeddings resolve it (``lm.item_embeddings``); everything
else, padding, prefixes and generation, treats it as any other token.

Shapes: n rows, L items of history at most, C candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reclora_cli.errors import RecloraError
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.prompt.next_wordings import NextWordings

_SEPARATOR = "; "
"""Titles hold commas."""


class Frames(Protocol):
    """What puts a text to an LM (``lm.framing.Framing``)."""

    @property
    def before_ids(self) -> tuple[int, ...]: ...

    @property
    def tokenizer(self) -> Any: ...

    def frame(self, text: str) -> str: ...


class NextPrompts:
    """Writes prompts of one store's items for one LM.

    Args:
        titles: of every item, by id.
        vocabulary: rows of the LM's input embeddings: ids from there on are items.
        limit: most tokens of a prompt; a longer one loses its oldest items.
    """

    def __init__(
        self,
        framing: Frames,
        wordings: NextWordings,
        titles: Sequence[str],
        vocabulary: int,
        limit: int,
    ) -> None:
        self._framing, self._wordings, self._titles = framing, wordings, titles
        self._vocabulary, self._limit = vocabulary, limit

    @property
    def wordings(self) -> int:
        """How many there are."""
        return len(self._wordings.wordings)

    def encode(
        self,
        history: NDArray[Any],
        candidates: NDArray[Any],
        wording: NDArray[Any] | None = None,
        hybrid: NDArray[Any] | None = None,
    ) -> EncodedPrompts:
        """The prompts of n rows.

        Args:
            history: (n, L) item ids in time order, -1 behind the last.
            candidates: (n, C) item ids.
            wording: (n,) which wording each has; by default the first.
            hybrid: (n,) which are hybrid; by default none is.

        Raises:
            RecloraError: a prompt is too long even with one item of history.
        """
        words = np.zeros(len(history), np.int64) if wording is None else wording
        mixed = np.zeros(len(history), bool) if hybrid is None else hybrid
        rows = zip(history, candidates.tolist(), words.tolist(), mixed.tolist(), strict=True)
        encoded, shortened = [], 0
        for past, choices, which, with_items in rows:
            known = past[past >= 0].tolist()
            ids, dropped = self._fitting(known, choices, which, with_items)
            encoded.append(ids)
            shortened += dropped > 0
        return EncodedPrompts.from_lists(encoded, shortened)

    def text(self, history: Sequence[int], candidates: Sequence[int], wording: int = 0) -> str:
        """One prompt without framing, its items by title."""
        before, between, after = self._wordings.parts(wording)
        lists = (
            _SEPARATOR.join(self._titles[item] for item in items) for items in (history, candidates)
        )
        past, choices = lists
        return f"{before}{past}{between}{choices}{after}"

    def dropped(self, history: Sequence[int], candidates: Sequence[int], *, hybrid: bool) -> int:
        """How many of its oldest items one prompt of the first wording has no room for."""
        return self._fitting([*history], [*candidates], 0, hybrid)[1]

    def _fitting(
        self, history: list[int], candidates: list[int], wording: int, hybrid: bool
    ) -> tuple[list[int], int]:
        """The ids of one prompt, and how many of its oldest items had to go."""
        for dropped in range(max(1, len(history))):
            ids = self._ids(history[dropped:], candidates, wording, hybrid)
            if len(ids) <= self._limit:
                return ids, dropped
        longest = max((self._titles[item] for item in candidates), key=len)
        raise RecloraError(
            f"a prompt of {len(ids):,} tokens does not fit the {self._limit:,} that the LM's "
            "context leaves it beside an answer, even with one item of history; its longest title "
            f"is {_cut(longest)!r}",
            where="lm.name",
            hint="Use an LM with a longer context, or fewer candidates: "
            "--set next.candidates=N with `reclora prepare`.",
        )

    def _ids(
        self, history: list[int], candidates: list[int], wording: int, hybrid: bool
    ) -> list[int]:
        tokenizer = self._framing.tokenizer
        if not hybrid:
            text = self._framing.frame(self.text(history, candidates, wording))
            plain = tokenizer(text, add_special_tokens=False)["input_ids"]
            return [*self._framing.before_ids, *plain]
        pieces = [*self._pieces(history, candidates, wording)]
        opening, *_ = self._framing.frame("\0").partition("\0")
        closing = self._framing.frame("\0").partition("\0")[2]
        texts = [text for text, _ in pieces]
        texts[0], texts[-1] = opening + texts[0], texts[-1] + closing
        tokens = tokenizer(texts, add_special_tokens=False)["input_ids"]
        ids = [*self._framing.before_ids]
        for (_, item), of_text in zip(pieces, tokens, strict=True):
            ids += of_text if item is None else [*of_text, self._vocabulary + item]
        return ids

    def _pieces(
        self, history: list[int], candidates: list[int], wording: int
    ) -> Iterator[tuple[str, int | None]]:
        """Texts, each up to the item whose id follows it."""
        before, between, after = self._wordings.parts(wording)
        lead = ""
        for opening, items in ((before, history), (between, candidates)):
            lead += opening
            for item in items:
                yield f"{lead}{self._titles[item]}", item
                lead = _SEPARATOR
            lead = "" if items else lead
        yield f"{lead}{after}", None


def _cut(title: str, most: int = 60) -> str:
    return title if len(title) <= most else f"{title[:most]}…"
