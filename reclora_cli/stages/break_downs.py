"""Figures by user seen or unseen, item seen or unseen, history length and item popularity, and by
whether the LM has seen the user: whether one of the shots it was tuned on is of the same user.

A test split has some 15 slices, and the smallest hold few rows, so their intervals come by formula
and not by resampling: DeLong's variance for the AUC, the normal approximation for the mean loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reclora_cli.data.slices import BREAK_DOWNS, RowSlices
from reclora_cli.metrics.auc import auc
from reclora_cli.metrics.compare import Figure
from reclora_cli.metrics.delong import auc_interval
from reclora_cli.metrics.intervals import mean_interval
from reclora_cli.metrics.log_loss import log_losses
from reclora_cli.metrics.rows import Floats, Labels

BY_SHOTS = "shots"
"""The break-down that tells the LM's users from others; there is one where a run is evaluated."""

NAMES = (*BREAK_DOWNS, BY_SHOTS)
"""What rows are broken down by, in the order of tables."""


@dataclass(frozen=True)
class SliceFigures:
    """What one model reaches on a slice.

    Attributes:
        auc: all ``None`` where the slice holds likes or dislikes only; no interval where it has
            fewer than two of either, or where they part entirely.
        log_loss: in nats; no interval of a single row.
    """

    auc: Figure
    log_loss: Figure


@dataclass(frozen=True)
class Slice:
    """The rows of one bin of a break-down, and every model on them.

    Attributes:
        by: ``user``, ``item``, ``history``, ``popularity`` or ``shots``.
        bin: ``seen`` or ``unseen``; by shots ``tuned`` or ``untuned``; else its bounds, e.g.
            ``10-29``: behaviours in the row's past, or training rows of its item.
        rows: at least one; a bin without rows is left out.
        base_rate: share of likes.
        models: by the model's ``name``.
    """

    by: str
    bin: str
    rows: int
    base_rate: float
    models: dict[str, SliceFigures]


def break_downs(
    labels: ArrayLike,
    probabilities: Mapping[str, Floats],
    slices: RowSlices,
    confidence: float,
    tuned: NDArray[np.bool_] | None = None,
) -> list[Slice]:
    """Every bin that has rows, break-down by break-down.

    Args:
        labels: (n,) of 0 and 1.
        probabilities: P(yes), (n,), by the model's name.
        slices: of the same n rows.
        confidence: of the intervals.
        tuned: whether an LM was tuned on a row of each row's user, (n,); ``None`` without an LM.

    Raises:
        RecloraError: as the metrics do.
    """
    every = slices.break_downs()
    if tuned is not None:
        bins = {"tuned": tuned, "untuned": ~tuned}
        every[BY_SHOTS] = {label: mask for label, mask in bins.items() if mask.any()}
    liked = np.asarray(labels).astype(bool)
    losses = {name: log_losses(labels, values) for name, values in probabilities.items()}
    return [
        Slice(
            by=by,
            bin=label,
            rows=int(mask.sum()),
            base_rate=float(liked[mask].mean()),
            models={
                name: _figures(liked[mask], values[mask], losses[name][mask], confidence)
                for name, values in probabilities.items()
            },
        )
        for by, bins in every.items()
        for label, mask in bins.items()
    ]


def _figures(liked: Labels, values: Floats, losses: Floats, confidence: float) -> SliceFigures:
    return SliceFigures(
        auc=_figure(auc(liked, values), auc_interval(liked, values, confidence)),
        log_loss=_figure(float(losses.mean()), mean_interval(losses, confidence)),
    )


def _figure(value: float | None, interval: tuple[float, float] | None) -> Figure:
    low, high = interval or (None, None)
    return Figure(value, low, high)
