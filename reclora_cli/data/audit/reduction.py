"""The PCA of item vectors was fitted on items seen in training, and on nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.audit.report import Check, Finding, chunks

MEAN = "the PCA's mean is the mean of the items seen in training"
AXES = "the PCA's axes are those of the items seen in training"
REDUCED = "reduced vectors are the item vectors by that PCA, of unit length"

_CELLS = 1 << 22
"""Numbers of item vectors held at once, as float64: 32 MB."""
_AXIS_TOLERANCE = 2e-6
_UNIT_TOLERANCE = 1e-4

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class StoredReduction:
    """What lies on disk of a PCA.

    Attributes:
        vectors: (n_items, d) as the encoder gave them; may be memory-mapped, as the others.
        mean: (d,).
        components: (p, d), axes of falling variance.
        reduced: (n_items, p).
    """

    vectors: Floats
    mean: Floats
    components: Floats
    reduced: Floats


def reduction_is_fitted_on(stored: StoredReduction, seen: NDArray[np.bool_]) -> list[Check]:
    """Fit again, in float64, on the items seen, and compare.

    The stored mean must be the float32 that is nearest to the mean found here, give or take a
    last place, in every dimension: a fit that used one item more differs by far more. Each axis
    must be an eigenvector of the covariance found here; the residual of one fitted on other items
    is of the order of the covariances' difference, that of rounding below 1e-6 of the largest.

    Args:
        seen: (n_items,) bool, the items of training rows.
    """
    shapes = _wrong_shapes(stored, seen)
    if shapes:
        return [Check("the PCA's arrays fit each other", False, len(seen), shapes)]
    mean = _mean(stored.vectors, seen)
    return [
        _mean_check(stored, mean),
        _axes_check(stored, _covariance(stored.vectors, seen, mean)),
        _reduced_check(stored),
    ]


def _wrong_shapes(stored: StoredReduction, seen: NDArray[np.bool_]) -> str:
    n, d = stored.vectors.shape
    p = len(stored.components)
    found = {
        "vectors": (stored.vectors.shape, (len(seen), d)),
        "mean": (stored.mean.shape, (d,)),
        "components": (stored.components.shape, (p, d)),
        "reduced": (stored.reduced.shape, (n, p)),
    }
    return ", ".join(f"{name} is {is_}, not {be}" for name, (is_, be) in found.items() if is_ != be)


def _mean(vectors: Floats, seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    total = np.zeros(vectors.shape[1])
    for part in chunks(len(vectors), _at_once(vectors)):
        total += vectors[part][seen[part]].sum(axis=0, dtype=np.float64)
    return total / max(int(seen.sum()), 1)


def _covariance(
    vectors: Floats, seen: NDArray[np.bool_], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    found = np.zeros((len(mean), len(mean)))
    for part in chunks(len(vectors), _at_once(vectors)):
        centred = vectors[part][seen[part]].astype(np.float64) - mean
        found += centred.T @ centred
    return found / max(int(seen.sum()) - 1, 1)


def _mean_check(stored: StoredReduction, mean: NDArray[np.float64]) -> Check:
    found = Finding(MEAN, "dimension")
    largest = float(np.abs(mean).max())
    # A mean near zero is the rest of sums that cancel: float64's own rounding shows there.
    allowed = 2 * np.spacing(np.abs(mean).astype(np.float32)) + 1e-13 * largest
    found.look(~(np.abs(stored.mean - mean) <= allowed))
    return found.check()


def _axes_check(stored: StoredReduction, covariance: NDArray[np.float64]) -> Check:
    found = Finding(AXES, "axis")
    axes = np.asarray(stored.components, dtype=np.float64)
    image = axes @ covariance
    variances = np.einsum("pd,pd->p", image, axes)
    scale = max(float(np.linalg.eigvalsh(covariance)[-1]), np.finfo(np.float64).tiny)
    residual = np.linalg.norm(image - variances[:, None] * axes, axis=1) / scale
    length = np.abs(np.linalg.norm(axes, axis=1) - 1)
    rising = np.diff(variances, prepend=np.inf) / scale
    found.look(~((residual <= _AXIS_TOLERANCE) & (length <= 1e-5) & (rising <= _AXIS_TOLERANCE)))
    return found.check()


def _reduced_check(stored: StoredReduction) -> Check:
    found = Finding(REDUCED, "item")
    for part in chunks(len(stored.vectors), _at_once(stored.vectors)):
        centred = np.asarray(stored.vectors[part], dtype=np.float32) - stored.mean
        expected = centred @ stored.components.T
        lengths = np.linalg.norm(expected, axis=1, keepdims=True)
        unit = np.divide(expected, lengths, out=np.zeros_like(expected), where=lengths > 0)
        # An item at the mean has no direction.
        right = np.abs(stored.reduced[part] - unit).max(axis=1) <= _UNIT_TOLERANCE
        found.look(~right & (lengths[:, 0] > _UNIT_TOLERANCE), part.start)
    return found.check()


def _at_once(vectors: Floats) -> int:
    return max(_CELLS // vectors.shape[1], 1)
