"""Calibration as two panels of a picture: the reliability diagram, and where P(yes) lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reclora_cli.metrics.calibration import BINS
from reclora_cli.stages.evaluated import ModelResult
from reclora_cli.stages.picture_style import style

_WITH_INTERVALS = 4
"""Models up to which the diagram has room for intervals."""


def draw_reliability(axes: Any, models: Sequence[ModelResult], confidence: float) -> None:
    """Share of likes over mean P(yes), bin by bin; a calibrated model lies on the diagonal.

    Few models have Wilson's intervals; those of many would hide the curves.

    Args:
        axes: matplotlib's, empty.
        confidence: that the intervals have.
    """
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=":", zorder=0)
    shown = len(models) <= _WITH_INTERVALS
    for at, model in enumerate(models):
        curve = model.calibration
        shares = np.array([one.share_of_likes for one in curve])
        ends = np.array([(one.low, one.high) for one in curve]).reshape(-1, 2)
        axes.errorbar(
            [one.mean_probability for one in curve],
            shares,
            yerr=np.abs(ends.T - shares) if shown else None,
            linewidth=1.1,
            elinewidth=0.6,
            **style(at),
        )
    told = f" ({confidence:.0%} intervals: Wilson)" if shown else ""
    axes.set(
        xlabel=f"mean P(yes) of the bin{told}",
        ylabel="share of likes",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    axes.grid(color="#EEEEEE")


def draw_rows(axes: Any, models: Sequence[ModelResult]) -> None:
    """Rows in each bin of P(yes).

    Args:
        axes: matplotlib's, empty.
    """
    centres = (np.arange(BINS) + 0.5) / BINS
    for at, model in enumerate(models):
        rows = np.zeros(BINS, dtype=np.int64)
        for one in model.calibration:
            rows[round(one.lower * BINS)] = one.rows
        axes.plot(centres, rows, linewidth=1.1, **style(at))
    axes.set(xlabel=f"P(yes), in {BINS} bins", ylabel="rows in the bin", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.grid(color="#EEEEEE")
