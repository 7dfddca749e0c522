"""Rows as the tensors that every CRM reads.

Shapes: B rows, F target fields, L slots for behaviours, at least one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reclora_cli.crm.texts import Texts, TextSource
from reclora_cli.data.features import FeatureSpace
from reclora_cli.errors import RecloraError

Ints = NDArray[np.integer]
Chosen = Ints | slice
"""Rows of a batch."""

OLDEST = 16
"""The age from which behaviours are all alike: 32,768 others have come since."""


@dataclass(frozen=True)
class CrmBatch:
    """B rows as indices into one embedding table; index 0 is padding.

    Attributes:
        fields_BF: the user's and the target item's fields, int64.
        items_BL: item ids of the behaviours in time order, int64, padded at the end.
        ratings_BL: their ratings, int64.
        ages_BL: how long ago they were, as ``age`` tells it, int64; 0 for none.
        mask_BL: bool, true where there is a behaviour.
        texts: of a model that reads texts, else ``None``.
    """

    fields_BF: Tensor
    items_BL: Tensor
    ratings_BL: Tensor
    ages_BL: Tensor
    mask_BL: Tensor
    texts: Texts | None = None

    def __len__(self) -> int:
        return len(self.fields_BF)

    def to(self, device: torch.device) -> CrmBatch:
        return CrmBatch(
            self.fields_BF.to(device),
            self.items_BL.to(device),
            self.ratings_BL.to(device),
            self.ages_BL.to(device),
            self.mask_BL.to(device),
            None if self.texts is None else self.texts.to(device),
        )

    def require_below(self, size: int) -> None:
        """Check that every index is one of an embedding table of ``size``.

        Raises:
            RecloraError: names the first that is not, and its row in the batch.
        """
        for kind, indices in (
            ("a user's or target's", self.fields_BF),
            ("a behaviour's item", self.items_BL),
            ("a behaviour's rating", self.ratings_BL),
        ):
            if not indices.numel():
                continue
            low, high = torch.aminmax(indices)
            if low < 0 or high >= size:
                row, at = torch.nonzero((indices < 0) | (indices >= size))[0].tolist()
                raise RecloraError(
                    f"{kind} index {int(indices[row, at]):,} in row {row} of the batch is outside "
                    f"the vocabulary of {size:,}",
                    hint="Was the batch made for this model's dataset? "
                    "`reclora prepare --audit` checks the prepared one.",
                )

    def with_fields(self, fields_BF: Tensor) -> CrmBatch:
        """The same rows with other target fields."""
        return replace(self, fields_BF=fields_BF)

    def parts(self) -> Iterator[tuple[Chosen, CrmBatch]]:
        """What is read in one pass, and which rows it is: the batch itself, unless its texts are
        of many lengths."""
        chosen = None if self.texts is None else self.texts.parts()
        if not chosen:
            yield slice(None), self
            return
        for rows in chosen:
            yield rows, self._take(rows)

    def _take(self, rows: Ints) -> CrmBatch:
        at = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        return CrmBatch(
            self.fields_BF[at],
            self.items_BL[at],
            self.ratings_BL[at],
            self.ages_BL[at],
            self.mask_BL[at],
            None if self.texts is None else self.texts.take(rows),
        )


def make_batch(
    space: FeatureSpace, rows: Ints, positions: Ints, source: TextSource | None = None
) -> CrmBatch:
    """Stored rows with their behaviours.

    Args:
        space: where indices come from.
        rows: (B,) row ids.
        positions: (B, L) CSR positions in time order, -1 after the end.
        source: where texts come from, for a model that reads them.
    """
    texts = None if source is None else source.rows(rows, positions)
    return _batch(space, space.rows(rows), positions, space.ends(rows), texts)


def make_pair_batch(
    space: FeatureSpace,
    users: Ints,
    items: Ints,
    positions: Ints,
    ends: Ints,
    source: TextSource | None = None,
) -> CrmBatch:
    """Any (user, item) pairs, (B,) and (B,) dense ids, with the behaviours to read, (B, L).

    Args:
        ends: (B,) exclusive ends in the CSR of what may be read: when the question is asked.
    """
    texts = None if source is None else source.pairs(users, items, positions)
    return _batch(space, space.pairs(users, items), positions, ends, texts)


def age(positions: Ints, ends: Ints) -> NDArray[np.int64]:
    """How long ago behaviours were: 1 for the latest, then 2, 3, ... as their distance doubles.

    Distance is counted in the user's own behaviours, not in seconds: most users of MovieLens rate
    most of their films within an hour, and data may have no time.

    Args:
        positions: (B, L) in the CSR, -1 for none.
        ends: (B,) exclusive ends of what may be read.

    Returns:
        (B, L), at most ``OLDEST``; 0 for none.
    """
    distance = np.where(positions >= 0, np.asarray(ends)[:, None] - positions, 0)
    return np.minimum(np.frexp(distance)[1], OLDEST).astype(np.int64)


def _batch(
    space: FeatureSpace, fields: Ints, positions: Ints, ends: Ints, texts: Texts | None
) -> CrmBatch:
    if not positions.shape[1]:
        positions = np.full((len(positions), 1), -1)
    items, ratings, mask = space.history(positions)
    fields_BF, items_BL, ratings_BL, ages_BL, mask_BL = (
        torch.from_numpy(array) for array in (fields, items, ratings, age(positions, ends), mask)
    )
    batch = CrmBatch(fields_BF, items_BL, ratings_BL, ages_BL, mask_BL, texts)
    batch.require_below(space.size)  # Before it goes to a GPU, where this would be a crash.
    return batch
