"""Which items of the whole catalogue are like this one: a FAISS index.

Up to ``FLAT_ITEMS`` every item is compared. Above, vectors are put in about sqrt(n_items) lists
(IVF) of which the nearest are searched: as many as it takes to find ``WANTED_RECALL`` of what
comparing every item finds. HNSW answers quicker but takes many times as long to build.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

CATALOGUE = "catalogue.faiss"
"""Its file in an index folder."""

FLAT_ITEMS = 100_000
WANTED_RECALL = 0.95
"""Of the 10 and of the 100 nearest."""

_DEPTHS = (10, 100)
_SAMPLED = 256
_TRAINED_PER_LIST = 64
_ADDED_AT_ONCE = 65_536

Vectors = NDArray[np.float32]
Items = NDArray[np.integer]


@dataclass(frozen=True)
class Recall:
    """Share of the nearest items (comparing every item) that the index finds too.

    Attributes:
        at_10, at_100: of so many nearest, or all others where there are fewer.
        sampled: items asked about.
    """

    at_10: float
    at_100: float
    sampled: int


@dataclass(frozen=True)
class CatalogueIndex:
    """An inner-product index over unit vectors; ids are dense item ids."""

    index: faiss.Index

    @classmethod
    def build(cls, vectors: Vectors, seed: int = 0) -> CatalogueIndex:
        """Index ``vectors`` (n_items, p) of unit length, which may be memory-mapped."""
        if len(vectors) > FLAT_ITEMS:
            return cls(_lists(vectors, seed))
        index = faiss.IndexFlatIP(vectors.shape[1])
        _add(index, vectors)
        return cls(index)

    @classmethod
    def load(cls, file: Path) -> CatalogueIndex:
        """Open what ``save`` wrote; lists are read from the disk when they are searched."""
        return cls(faiss.read_index(str(file), faiss.IO_FLAG_MMAP))

    def save(self, file: Path) -> None:
        faiss.write_index(self.index, str(file))

    @property
    def kind(self) -> str:
        """``flat``, or ``ivf`` with lists and how many of them are searched."""
        if not isinstance(self.index, faiss.IndexIVF):
            return "flat"
        return f"ivf, {self.index.nprobe} of {self.index.nlist} lists"

    def similar(self, item: int, k: int) -> tuple[Items, Vectors]:
        """The ``k`` items nearest to ``item``, itself left out.

        Returns:
            items and their cosines, nearest first, both (min(k, n_items - 1),); of lists, as
            many as the lists that are searched hold.
        """
        wanted = min(k + 1, self.index.ntotal)
        vector = self.index.reconstruct(item)[None]
        cosines, items = (np.asarray(found[0]) for found in self.index.search(vector, wanted))
        others = (items != item) & (items >= 0)
        return items[others][:k], cosines[others][:k]

    def nearest_of(self, items: Items, allowed: Items, k: int) -> tuple[Items, Vectors]:
        """The ``k`` of ``allowed`` that are nearest to one of ``items``, nearest first.

        Of lists, the fewer items are allowed the more lists are searched, up to all of them.

        Returns:
            items and their highest cosines, (min(k, allowed),); of equals the lower id first.
        """
        asked = np.stack([self.index.reconstruct(int(item)) for item in items])
        wanted = min(k, len(allowed))
        cosines, found = self.index.search(asked, wanted, params=self._among(allowed))
        at, best = np.unique(found[found >= 0], return_inverse=True)
        highest = np.full(len(at), -np.inf, dtype=np.float32)
        np.maximum.at(highest, best, cosines[found >= 0])
        order = np.argsort(-highest, kind="stable")[:wanted]
        return at[order], highest[order]

    def _among(self, allowed: Items) -> faiss.SearchParameters:
        chosen = faiss.IDSelectorBatch(np.ascontiguousarray(allowed, dtype=np.int64))
        if not isinstance(self.index, faiss.IndexIVF):
            return faiss.SearchParameters(sel=chosen)  # type: ignore[call-arg]
        share = len(allowed) / self.index.ntotal
        lists = min(self.index.nlist, math.ceil(self.index.nprobe / share))
        return faiss.SearchParametersIVF(sel=chosen, nprobe=lists)  # type: ignore[call-arg]

    def recall(self, vectors: Vectors, seed: int = 0) -> Recall:
        """Measured on a seeded sample of items against comparing every item."""
        drawn = np.random.default_rng(seed).permutation(len(vectors))[:_SAMPLED]
        asked = np.ascontiguousarray(vectors[np.sort(drawn)])
        return _recall(self.index, asked, _nearest(vectors, asked))


def _lists(vectors: Vectors, seed: int) -> faiss.IndexIVFFlat:
    n, p = vectors.shape
    lists = round(n**0.5)
    drawn = np.random.default_rng(seed).permutation(n)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(p), p, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = seed + 1
    index.cp.max_points_per_centroid = _TRAINED_PER_LIST
    index.train(np.ascontiguousarray(vectors[np.sort(drawn[: lists * _TRAINED_PER_LIST])]))
    _add(index, vectors)
    index.make_direct_map()  # so that an item's vector can be asked for
    asked = np.ascontiguousarray(vectors[np.sort(drawn[:_SAMPLED])])
    nearest = _nearest(vectors, asked)
    index.nprobe = 1
    while index.nprobe < lists:
        found = _recall(index, asked, nearest)
        if min(found.at_10, found.at_100) >= WANTED_RECALL:
            break
        index.nprobe = min(index.nprobe + (index.nprobe + 1) // 2, lists)
    return index


def _add(index: faiss.Index, vectors: Vectors) -> None:
    for start in range(0, len(vectors), _ADDED_AT_ONCE):
        index.add(np.ascontiguousarray(vectors[start : start + _ADDED_AT_ONCE]))


def _nearest(vectors: Vectors, asked: Vectors) -> Items:
    """The nearest items of each asked vector, comparing every item, (q, 101 at most)."""
    k = min(max(_DEPTHS) + 1, len(vectors))
    best = faiss.ResultHeap(len(asked), k, keep_max=True)
    for start in range(0, len(vectors), _ADDED_AT_ONCE):
        part = np.ascontiguousarray(vectors[start : start + _ADDED_AT_ONCE])
        cosines, items = faiss.knn(asked, part, min(k, len(part)), faiss.METRIC_INNER_PRODUCT)
        best.add_result(cosines, items + start)
    best.finalize()
    return np.asarray(best.I)


def _recall(index: faiss.Index, asked: Vectors, nearest: Items) -> Recall:
    found = np.asarray(index.search(asked, nearest.shape[1])[1])
    # The item itself is the nearest of all: one more than the depth is compared.
    shares = [
        float(np.mean([_share(a, b, depth + 1) for a, b in zip(nearest, found, strict=True)]))
        for depth in _DEPTHS
    ]
    return Recall(round(shares[0], 4), round(shares[1], 4), len(asked))


def _share(nearest: Items, found: Items, k: int) -> float:
    return len(np.intersect1d(nearest[:k], found[:k])) / len(nearest[:k])
