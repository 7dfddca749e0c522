"""PCA of item vectors, then unit length, so that an inner product is a cosine.

Hidden states of an LM share one large direction; centring takes it away, which is why cosines
are read after PCA and not before (RecLoRA, section 3.3; ReLLa).

Exact and out of core: the mean, then the centred second moment (d, d), are summed in float64 over
blocks of the vectors, which may be memory-mapped. All items that training has seen are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reclora_cli.errors import RecloraError
from reclora_cli.workspace import atomic_file

_AT_ONCE = 8_192
"""Items in memory at once: 150 MB of 2,304 dimensions in float64."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Reduction:
    """A fitted PCA: subtract ``mean`` (d,), multiply by ``components`` (p, d) transposed.

    A component's entry of largest magnitude is positive: the sign is otherwise arbitrary.

    Attributes:
        explained: share of the fitted vectors' variance that the p dimensions keep.
    """

    mean: Vectors
    components: Vectors
    explained: float

    @property
    def dimensions(self) -> int:
        return len(self.components)

    @classmethod
    def fit(cls, vectors: Vectors, fit_on: NDArray[np.bool_], dim: int) -> Reduction:
        """Fit on the items that training has seen, so that nothing later shapes the space.

        Args:
            vectors: (n_items, d) float32.
            fit_on: (n_items,) bool.
            dim: dimensions wanted; the most there are (d, or fitted items - 1) when fewer.

        Raises:
            RecloraError: a vector is not finite, or fewer than two items may be fitted on.
        """
        _check_finite(vectors)
        fitted = int(fit_on.sum())
        if fitted < 2:
            raise RecloraError("PCA needs at least two items that training has seen")
        mean = sum(part.sum(axis=0) for part in _blocks(vectors, fit_on)) / fitted
        moment = np.zeros((vectors.shape[1], vectors.shape[1]))
        for part in _blocks(vectors, fit_on):
            part -= mean
            moment += part.T @ part
        values, axes = np.linalg.eigh(moment)
        kept = min(dim, vectors.shape[1], fitted - 1)
        components = axes[:, ::-1][:, :kept].T
        largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], 1)
        total = float(np.trace(moment))
        return cls(
            mean.astype(np.float32),
            (components * np.sign(largest)).astype(np.float32),
            float(values[::-1][:kept].sum() / total) if total > 0 else 1.0,
        )

    def transform(self, vectors: Vectors) -> Vectors:
        """(n, d) -> (n, p) of unit length; a vector equal to the mean stays zero."""
        reduced = (vectors - self.mean) @ self.components.T
        lengths = np.linalg.norm(reduced, axis=1, keepdims=True)
        return np.divide(reduced, lengths, out=np.zeros_like(reduced), where=lengths > 0)

    def transform_into(self, file: Path, vectors: Vectors) -> Vectors:
        """As ``transform``, block by block into the ``.npy`` ``file``; returns it memory-mapped."""
        shape = (len(vectors), self.dimensions)
        with atomic_file(file) as opened:
            np.lib.format.write_array_header_1_0(
                opened, {"descr": "<f4", "fortran_order": False, "shape": shape}
            )
            for start in range(0, len(vectors), _AT_ONCE):
                reduced = self.transform(np.asarray(vectors[start : start + _AT_ONCE]))
                opened.write(np.ascontiguousarray(reduced, dtype="<f4").tobytes())
        return np.load(file, mmap_mode="r")

    def save(self, folder: Path) -> None:
        """Write ``pca_mean.npy`` and ``pca_components.npy``."""
        np.save(folder / "pca_mean.npy", self.mean)
        np.save(folder / "pca_components.npy", self.components)

    @classmethod
    def load(cls, folder: Path, explained: float = float("nan")) -> Reduction:
        """Read what ``save`` wrote; ``explained`` is the artefact's to remember."""
        mean, components = (np.load(folder / f"pca_{name}.npy") for name in ("mean", "components"))
        return cls(mean, components, explained)


def _blocks(vectors: Vectors, fit_on: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """The vectors that are fitted on, as float64, some at a time."""
    for start in range(0, len(vectors), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        yield vectors[part][fit_on[part]].astype(np.float64)


def _check_finite(vectors: Vectors) -> None:
    broken = np.concatenate(
        [
            np.flatnonzero(~np.isfinite(vectors[start : start + _AT_ONCE]).all(axis=1)) + start
            for start in range(0, len(vectors), _AT_ONCE)
        ]
        or [np.empty(0, dtype=np.int64)]
    )
    if len(broken):
        raise RecloraError(
            f"the vectors of {len(broken)} items are not finite (first: item {broken[0]})",
            hint="The encoder overflowed; try lm.quantisation=none or another encoder.",
        )
