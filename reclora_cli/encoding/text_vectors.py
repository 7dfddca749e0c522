"""Rows' texts as vectors of a frozen encoder, put together from those of their parts.

Shapes: n rows, L behaviours, E width of one text's vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from reclora_cli.crm.texts import VectorTexts
from reclora_cli.encoding.text_parts import Ints, Said, TextParts

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class TextVectors:
    """A ``TextSource`` of vectors: user (n, 2 E), item (n, E).

    A user's vector is the profile's, then the mean over behaviours, zeros for a user without any.

    Attributes:
        parts: the distinct texts.
        profiles, behaviours, items: their vectors, E wide each; may be memory-mapped.
    """

    parts: TextParts
    profiles: Vectors
    behaviours: Vectors
    items: Vectors

    def rows(self, rows: Ints, positions: Ints) -> VectorTexts:
        return self._of(self.parts.rows(rows, positions))

    def pairs(self, users: Ints, items: Ints, positions: Ints) -> VectorTexts:
        return self._of(self.parts.pairs(users, items, positions))

    def _of(self, said: Said) -> VectorTexts:
        profiles = torch.tensor(self.profiles[said.profiles])
        means = mean_vectors(self.behaviours, said.behaviours)
        return VectorTexts(
            torch.cat([profiles, means], dim=1), torch.tensor(self.items[said.items])
        )


def mean_vectors(table: Vectors, numbers: Ints) -> Tensor:
    """(n, E) means of the rows of ``table`` that ``numbers`` (n, L) name, -1 for none.

    Neither (n, L, E) vectors nor more of a memory-mapped table than is named are held: each
    named row is read once for all that name it.
    """
    present = numbers >= 0
    named, at = np.unique(numbers[present], return_inverse=True)
    counts = present.sum(axis=1)
    starts = np.cumsum(counts) - counts
    if not len(named):
        return torch.zeros(len(numbers), table.shape[1])
    return F.embedding_bag(
        torch.from_numpy(at),
        torch.from_numpy(np.asarray(table[named])),
        torch.from_numpy(starts),
        mode="mean",
    )
