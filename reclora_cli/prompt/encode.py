"""Prompts as token ids, tokenised once and kept flat.

Shapes: n prompts, B chosen prompts, T tokens of the longest chosen one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reclora_cli.errors import RecloraError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.write import PromptWriter

_BLOCK = 1024
"""Prompts tokenised in one call."""


class Encodes(Protocol):
    """What turns texts into token ids (``lm.framing.Framing``)."""

    def encode(self, texts: Sequence[str]) -> list[list[int]]: ...


@dataclass(frozen=True)
class EncodedPrompts:
    """Token ids of n prompts, up to where the answer starts.

    Attributes:
        ids: all tokens one after the other, int32.
        offsets: (n + 1,) int64; prompt ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.
        shortened: prompts whose history was cut to fit the LM's context.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    shortened: int = 0

    @classmethod
    def of(
        cls,
        writer: PromptWriter,
        framing: Encodes,
        users: NDArray[Any],
        items: NDArray[Any],
        positions: NDArray[Any],
        *,
        limit: int,
        progress: Progress = SILENT,
    ) -> EncodedPrompts:
        """Write and tokenise the prompts of n questions.

        Args:
            users, items: (n,) dense ids.
            positions: (n, L) behaviours in time order, -1 after the end.
            limit: most tokens of a prompt. A longer one loses its oldest behaviours, as many as
                it takes, and is counted in ``shortened``.

        Raises:
            RecloraError: a prompt is too long even without behaviours.
        """
        blocks = [cls.from_lists([])]
        with progress.task("tokenise prompts", total=len(users), unit="prompts") as task:
            for start in range(0, len(users), _BLOCK):
                part = slice(start, start + _BLOCK)
                encoded = framing.encode(writer.text(users[part], items[part], positions[part]))
                too_long = [at for at, ids in enumerate(encoded) if len(ids) > limit]
                for at in too_long:
                    row = slice(start + at, start + at + 1)
                    encoded[at] = _shortened(
                        writer, framing, users[row], items[row], positions[row], limit
                    )
                blocks.append(cls.from_lists(encoded, len(too_long)))
                task.advance(len(encoded))
        return cls.concatenate(blocks)

    @classmethod
    def from_lists(cls, rows: Sequence[Sequence[int]], shortened: int = 0) -> EncodedPrompts:
        """Prompts given as one list of token ids each."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        ids = np.fromiter((token for row in rows for token in row), np.int32, int(offsets[-1]))
        return cls(ids, offsets, shortened)

    @classmethod
    def concatenate(cls, parts: Sequence[EncodedPrompts]) -> EncodedPrompts:
        """The prompts of several, one after the other."""
        lengths = np.concatenate([part.lengths for part in parts])
        ids = np.concatenate([part.ids for part in parts])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(ids, offsets, sum(part.shortened for part in parts))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        """Token ids of one prompt."""
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n,) tokens of each prompt."""
        return np.diff(self.offsets)

    def padded(self, chosen: NDArray[Any], pad_id: int = 0) -> NDArray[np.int64]:
        """(B, T) ids of the chosen prompts, padded on the right."""
        lengths = self.lengths[chosen]
        ids = np.full((len(chosen), int(lengths.max(initial=0))), pad_id, dtype=np.int64)
        for row, prompt in enumerate(np.asarray(chosen).tolist()):
            ids[row, : lengths[row]] = self[prompt]
        return ids


def _shortened(
    writer: PromptWriter,
    framing: Encodes,
    user: NDArray[Any],
    item: NDArray[Any],
    positions: NDArray[Any],
    limit: int,
) -> list[int]:
    """One prompt's ids with as many of its latest behaviours as fit."""
    for dropped in range(1, int((positions >= 0).sum()) + 1):
        [ids] = framing.encode(writer.text(user, item, positions[:, dropped:]))
        if len(ids) <= limit:
            return ids
    raise RecloraError(
        f"a prompt does not fit the LM's context of {limit} tokens, even without behaviours",
        where="lm.name",
        hint="Use an LM with a longer context.",
    )
