"""Texts as token ids, kept compactly: a million texts are arrays and not a million lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reclora_cli.lm.load import LoadedLm

_TEXTS_AT_ONCE = 8_192


@dataclass(frozen=True)
class TokenTable:
    """Token ids of n texts, one after the other.

    Attributes:
        ids: (tokens,) int32.
        bounds: (n + 1,) int64; text ``i`` is ``ids[bounds[i] : bounds[i + 1]]``.
    """

    ids: NDArray[np.int32]
    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, lm: LoadedLm, texts: Sequence[str], *, framed: bool = True) -> TokenTable:
        """``texts`` as ``lm`` reads them; those longer than its context are cut at their end.

        Args:
            framed: with the special tokens that the tokenizer puts around a text.
        """
        ids, lengths = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            found = lm.tokenizer(
                list(texts[start : start + _TEXTS_AT_ONCE]),
                truncation=True,
                max_length=lm.context,
                return_attention_mask=False,
                add_special_tokens=framed,
            )["input_ids"]
            ids.append(np.fromiter((id_ for row in found for id_ in row), np.int32))
            lengths.append(np.fromiter((len(row) for row in found), np.int64, len(found)))
        bounds = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
        return cls(np.concatenate(ids), bounds.astype(np.int64))

    def ending_in(self, token: int) -> TokenTable:
        """The same texts, each with one more token at its end."""
        bounds = self.bounds + np.arange(len(self.bounds))
        ids = np.empty(bounds[-1], dtype=np.int32)
        ends = bounds[1:] - 1
        ids[ends] = token
        ids[np.delete(np.arange(len(ids)), ends)] = self.ids
        return TokenTable(ids, bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, text: int) -> NDArray[np.int32]:
        return self.ids[self.bounds[text] : self.bounds[text + 1]]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(n,) tokens of each text."""
        return np.diff(self.bounds)


def distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Each text once, in the order they first appear, and which of them each one is."""
    number: dict[str, int] = {}
    owner = np.fromiter((number.setdefault(text, len(number)) for text in texts), np.int64)
    return list(number), owner
