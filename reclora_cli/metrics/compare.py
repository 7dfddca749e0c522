"""Several models on the same rows: figures with intervals, and paired differences.

All models are read under the same bootstrap resamples, so a difference's interval and p-value
need no resampling of their own. User-AUCs have resamples of users, alike for all models too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from reclora_cli.metrics.accuracy import accuracy, hits
from reclora_cli.metrics.auc import auc
from reclora_cli.metrics.delong import Placements, placements
from reclora_cli.metrics.ece import ResampledEce, ece, ece_interval
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
from reclora_cli.metrics.user_auc import AucByUser, ResampledUserAuc, auc_by_user

SIGNIFICANT = 0.01
"""p-value below which a difference gets its ``*``, as in RecLoRA's tables."""

_AUC, _LOG_LOSS, _ACCURACY, _ECE, _METRICS = 0, 1, 2, 3, 4


@dataclass(frozen=True)
class Figure:
    """A value and its interval: both ends ``None`` where there is none, all where no value is.

    By the bootstrap in ``Figures``; in slices by formula (see ``stages.break_downs``).
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class UserFigure(Figure):
    """A user-AUC, with the users who count, and their rows: those with a like and a dislike."""

    users: int
    rows: int


@dataclass(frozen=True)
class Figures:
    """What one model reaches on a set of rows."""

    rows: int
    base_rate: float | None
    auc: Figure
    log_loss: Figure
    accuracy: Figure
    user_auc: UserFigure
    ece: Figure


@dataclass(frozen=True)
class Difference:
    """A paired difference, model minus reference.

    Attributes:
        p: two-sided p-value of the paired bootstrap.
        p_delong: DeLong's, for differences of AUC.
        significant: ``p_tested`` is below ``SIGNIFICANT``: the ``*`` of tables.
    """

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    p_delong: float | None = None
    significant: bool = False

    @property
    def p_tested(self) -> float | None:
        """DeLong's p-value where there is one, else that of the paired bootstrap."""
        return self.p if self.p_delong is None else self.p_delong


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
        users: ArrayLike | None = None,
        user_stream: np.random.Generator | None = None,
    ) -> None:
        """Resample.

        Args:
            labels: (n,) of 0 and 1.
            probabilities: P(yes) of each model, (n,) each.
            users: whose row each is, (n,) ids; without them user-AUCs are undefined.
            user_stream: of the resamples of users; ``stream``, after those of rows, by default.

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
            statistics.append(ResampledEce(labels, values))
        # One row (or user) drawn again and again has no spread: that is not known, and not nought.
        rows = len(self._labels) if len(self._labels) > 1 else 0
        samples = bootstrap(statistics, rows, resamples, stream)
        self._samples = samples.reshape(resamples, len(self._probabilities), _METRICS)
        # Without users, every row as one of its own: none has both classes.
        whose = np.arange(len(self._labels)) if users is None else np.asarray(users)
        self._by_user = [auc_by_user(labels, values, whose) for values in self._probabilities]
        self._user_samples = bootstrap(
            [ResampledUserAuc(found) for found in self._by_user],
            0 if users is None else len(np.unique(whose)),
            resamples,
            user_stream or stream,
        )

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
            user_auc=self._user_figure(self._by_user[model], model),
            ece=self._ece(ece(labels, values), model),
        )

    def auc_difference(self, model: int, reference: int) -> Difference:
        """AUC of ``model`` minus that of ``reference``; above zero is better."""
        ours, theirs = self._probabilities[model], self._probabilities[reference]
        placed = self._placements
        p = placed.difference(model, reference).p if placed else None
        values = auc(self._labels, ours), auc(self._labels, theirs)
        return self._difference(values, model, reference, _AUC, p)

    def relative_auc(self, model: int, reference: int) -> float | None:
        """RelImpr: AUC of ``model`` over that of ``reference``, less 1; a fraction."""
        ours, theirs = (auc(self._labels, self._probabilities[at]) for at in (model, reference))
        return ours / theirs - 1 if ours is not None and theirs else None

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

    def _user_figure(self, found: AucByUser, model: int) -> UserFigure:
        samples = self._user_samples[:, model]
        limits = self._interval(found.value, samples) if found.users > 1 else (None, None)
        return UserFigure(found.value, *limits, users=found.users, rows=found.rows)

    def _ece(self, value: float | None, model: int) -> Figure:
        if value is None:
            return Figure(None, None, None)
        limits = ece_interval(value, self._samples[:, model, _ECE], self._confidence)
        return Figure(value, *(limits or (None, None)))

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
        found = Difference(value, *self._interval(value, samples), bootstrap_p(samples), p_delong)
        p = found.p_tested
        return replace(found, significant=p is not None and p < SIGNIFICANT)

    def _interval(self, value: float | None, samples: Floats) -> tuple[float | None, float | None]:
        found = None if value is None else interval(samples, self._confidence)
        return found or (None, None)
