"""Pasts by similarity, wherever they come from: the file of all rows, or ranked when asked."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.store import InteractionsStore
from reclora_cli.recipe.tree import RetrieverRecipe
from reclora_cli.retrieval.ranked import Asked, Ranked, Ranker
from reclora_cli.retrieval.ranked_file import RANKED

REDUCED = "reduced.npy"

Ints = NDArray[Any]


class RankedPast:
    """Each question's past, the most similar behaviours first.

    Both ways give equal results; which one it is, ``retriever.rows`` says.

    Attributes:
        long: behaviours ranked for each row.
        vectors: (n_items, p) float32 of unit length.
    """

    def __init__(
        self,
        store: InteractionsStore,
        vectors: NDArray[np.float32],
        long: int,
        stored: Ranked | None = None,
    ) -> None:
        """``stored``: (n_rows, long) positions of all rows, when they were ranked before."""
        assert stored is None or stored.shape == (len(store), long), "ranked for another store"
        self.long = long
        self.vectors = vectors
        self._store = store
        self._stored = stored

    @classmethod
    def open(cls, index: Path, store: InteractionsStore, retriever: RetrieverRecipe) -> RankedPast:
        """What ``build-index`` left in the folder ``index``, memory-mapped."""
        vectors = np.load(index / REDUCED, mmap_mode="r")
        every = retriever.rows == "all"
        stored = np.load(index / RANKED, mmap_mode="r") if every else None
        return cls(store, vectors, retriever.long, stored)

    def of(self, rows: Ints) -> Ranked:
        """(n, long) positions of stored rows (n,), best first, -1 after the end."""
        if self._stored is not None:
            return self._stored[rows]
        return self._ranker.rank(rows_asked(self._store, rows), self.long)

    def of_questions(self, users: Ints, items: Ints, ends: Ints, k: int) -> Ranked:
        """(n, k) positions for any pairs of users and items, ranked now.

        Args:
            ends: (n,) exclusive end in the CSR of what may be read of the user's behaviours.
        """
        return self._ranker.rank(Asked.of(users, items, ends), k)

    @cached_property
    def _ranker(self) -> Ranker:
        return Ranker(self.vectors, self._store.item, self._store.user_start)


def rows_asked(store: InteractionsStore, rows: Ints | slice) -> Asked:
    """Stored rows as questions about their own items."""
    positions = np.asarray(store.row_position[rows])
    return Asked.of_rows(
        store.item, store.user_start, positions, np.asarray(store.history_end[rows])
    )
