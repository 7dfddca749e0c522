"""Several models on the same rows: figures with intervals, and paired differences.

All models are read under the same bootstrap resamples, so a difference's interval and p-value
need no resampling of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from reclora_cli.metrics.accuracy import accuracy, hits
from reclora_cli.metrics.auc import auc
from reclora_cli.metrics.delong import Placements, placements
from reclora_cli.metrics.intervals import (
    ResampledAuc,
    ResampledMean,
    Statistic,
    bootstrap,
    interval,
)
from reclora_cli.metrics.log_loss import log_loss, log_losses
from reclora_cli.metrics.paired import bootstrap_p
from reclora_cli.metrics.rows import Floats

_AUC, _LOG_LOSS, _ACCURACY, _METRICS = 0, 1, 2, 3


@dataclass(frozen=True)
class Figure:
    """A value and its interval: both ends ``None`` where there is none, all where no value is.

    By the bootstrap in ``Figures``; in slices by formula (see ``stages.break_downs``).
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Figures:
    """What one model reaches on a set of rows."""

    rows: int
    base_rate: float | None
    auc: Figure
    log_loss: Figure
    accuracy: Figure


@dataclass(frozen=True)
class Difference:
    """A paired difference, model minus reference.

    Attributes:
        p: two-sided p-value of the paired bootstrap.
        p_delong: DeLong's, for differences of AUC.
    """

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    p_delong: float | None = None


class Comparison:
    """Models on one set of rows, resampled together once."""

    def __init__(
        self,
        labels: ArrayLike,
        probabilities: Sequence[ArrayLike],
        *,
        resamples: int,
        confidence: float,
        stream: np.random.Generator,
    ) -> None:
        """Resample.

        Args:
            labels: (n,) of 0 and 1.
            probabilities: P(yes) of each model, (n,) each.

        Raises:
            RecloraError: as the metrics do.
        """
        self._labels = np.asarray(labels)
        self._probabilities = [np.asarray(values, dtype=np.float64) for values in probabilities]
        self._confidence = confidence
        statistics: list[Statistic] = []
        for values in self._probabilities:
            statistics.append(ResampledAuc(labels, values))
            statistics.append(ResampledMean(log_losses(labels, values)))
            statistics.append(ResampledMean(hits(labels, values)))
        samples = bootstrap(statistics, len(self._labels), resamples, stream)
        self._samples = samples.reshape(resamples, len(self._probabilities), _METRICS)

    def figures(self, model: int) -> Figures:
        """Figures of the model at index ``model``."""
        values = self._probabilities[model]
        labels = self._labels
        return Figures(
            rows=len(labels),
            base_rate=float(labels.mean()) if len(labels) else None,
            auc=self._figure(auc(labels, values), model, _AUC),
            log_loss=self._figure(log_loss(labels, values), model, _LOG_LOSS),
            accuracy=self._figure(accuracy(labels, values), model, _ACCURACY),
        )

    def auc_difference(self, model: int, reference: int) -> Difference:
        """AUC of ``model`` minus that of ``reference``; above zero is better."""
        ours, theirs = self._probabilities[model], self._probabilities[reference]
        placed = self._placements
        p = placed.difference(model, reference).p if placed else None
        values = auc(self._labels, ours), auc(self._labels, theirs)
        return self._difference(values, model, reference, _AUC, p)

    def log_loss_difference(self, model: int, reference: int) -> Difference:
        """LogLoss of ``model`` minus that of ``reference``; below zero is better."""
        ours, theirs = self._probabilities[model], self._probabilities[reference]
        values = log_loss(self._labels, ours), log_loss(self._labels, theirs)
        return self._difference(values, model, reference, _LOG_LOSS, None)

    @cached_property
    def _placements(self) -> Placements | None:
        # Asked for by differences alone: a set of rows that is only described needs no sorting.
        return placements(self._labels, self._probabilities)

    def _figure(self, value: float | None, model: int, metric: int) -> Figure:
        return Figure(value, *self._interval(value, self._samples[:, model, metric]))

    def _difference(
        self,
        values: tuple[float | None, float | None],
        model: int,
        reference: int,
        metric: int,
        p_delong: float | None,
    ) -> Difference:
        ours, theirs = values
        if ours is None or theirs is None:
            return Difference(None, None, None, None)
        samples = self._samples[:, model, metric] - self._samples[:, reference, metric]
        value = ours - theirs
        return Difference(value, *self._interval(value, samples), bootstrap_p(samples), p_delong)

    def _interval(self, value: float | None, samples: Floats) -> tuple[float | None, float | None]:
        found = None if value is None else interval(samples, self._confidence)
        return found or (None, None)
