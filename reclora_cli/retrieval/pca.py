"""PCA of item vectors, then unit length, so that an inner product is a cosine.

Hidden states of an LM share one large direction; centring takes it away, which is why cosines
are read after PCA and not before (RecLoRA, section 3.3; ReLLa).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reclora_cli.errors import RecloraError

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Reduction:
    """A fitted PCA: subtract ``mean`` (d,), multiply by ``components`` (p, d) transposed.

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
        from sklearn.decomposition import PCA

        broken = ~np.isfinite(vectors).all(axis=1)
        if broken.any():
            raise RecloraError(
                f"the vectors of {int(broken.sum())} items are not finite "
                f"(first: item {int(np.argmax(broken))})",
                hint="The encoder overflowed; try lm.quantisation=none or another encoder.",
            )
        sample = vectors[fit_on].astype(np.float64)
        if len(sample) < 2:
            raise RecloraError("PCA needs at least two items that training has seen")
        kept = min(dim, vectors.shape[1], len(sample) - 1)
        pca = PCA(n_components=kept, svd_solver="full").fit(sample)
        return cls(
            pca.mean_.astype(np.float32),
            pca.components_.astype(np.float32),
            float(pca.explained_variance_ratio_.sum()),
        )

    def transform(self, vectors: Vectors) -> Vectors:
        """(n, d) -> (n, p) of unit length; a vector equal to the mean stays zero."""
        reduced = (vectors - self.mean) @ self.components.T
        lengths = np.linalg.norm(reduced, axis=1, keepdims=True)
        return np.divide(reduced, lengths, out=np.zeros_like(reduced), where=lengths > 0)

    def save(self, folder: Path) -> None:
        """Write ``pca_mean.npy`` and ``pca_components.npy``."""
        np.save(folder / "pca_mean.npy", self.mean)
        np.save(folder / "pca_components.npy", self.components)

    @classmethod
    def load(cls, folder: Path, explained: float = float("nan")) -> Reduction:
        """Read what ``save`` wrote; ``explained`` is the artefact's to remember."""
        mean, components = (np.load(folder / f"pca_{name}.npy") for name in ("mean", "components"))
        return cls(mean, components, explained)
