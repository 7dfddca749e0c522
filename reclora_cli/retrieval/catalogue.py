"""Which items of the whole catalogue are like this one: an exact FAISS index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CatalogueIndex:
    """A flat inner-product index over unit vectors; ids are dense item ids."""

    index: faiss.Index

    @classmethod
    def build(cls, vectors: NDArray[np.float32]) -> CatalogueIndex:
        """Index ``vectors`` (n_items, p) of unit length."""
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(np.ascontiguousarray(vectors))
        return cls(index)

    @classmethod
    def load(cls, file: Path) -> CatalogueIndex:
        return cls(faiss.read_index(str(file)))

    def save(self, file: Path) -> None:
        faiss.write_index(self.index, str(file))

    def similar(self, item: int, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The ``k`` items nearest to ``item``, itself left out.

        Returns:
            items and their cosines, nearest first, both (min(k, n_items - 1),).
        """
        wanted = min(k + 1, self.index.ntotal)
        vector = self.index.reconstruct(item)[None]
        cosines, items = (np.asarray(found[0]) for found in self.index.search(vector, wanted))
        others = items != item
        return items[others][:k], cosines[others][:k]
