"""One break-down as a panel of a picture: AUC with intervals, bin by bin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reclora_cli.metrics.compare import Figure
from reclora_cli.stages.break_downs import Slice
from reclora_cli.stages.picture_style import style

_SPREAD = 0.7
"""Share of a bin's width over which its models stand side by side."""
LONGEST = 0.06
"""Reach of an interval beyond which the axis does not make room for it: bins of few rows would
flatten all others."""


def draw_bins(axes: Any, bins: Sequence[Slice], names: Sequence[str], title: str) -> None:
    """AUC of the models called ``names`` in each of ``bins``, with n.

    Args:
        axes: matplotlib's, empty.
        title: what the bins are bins of.
    """
    at = np.arange(len(bins))
    offsets = (np.arange(len(names)) - (len(names) - 1) / 2) * (_SPREAD / max(len(names), 1))
    for model, name in enumerate(names):
        figures = [one.models[name].auc for one in bins]
        axes.errorbar(
            at + offsets[model],
            [_or_nan(figure.value) for figure in figures],
            yerr=np.array([_reach(figure) for figure in figures]).reshape(-1, 2).T,
            linewidth=0.6,
            elinewidth=1.2,
            label=name,
            **style(model),
        )
    for border in at[1:] - 0.5:
        axes.axvline(border, color="#DDDDDD", linewidth=0.8, zorder=0)
    labels = [f"{one.bin}\nn {one.rows:,}" for one in bins]
    axes.set(xlabel=title, ylabel="AUC", xticks=at, xticklabels=labels)
    axes.set_xlim(-0.5, len(bins) - 0.5)
    axes.grid(axis="y", color="#EEEEEE")
    _limit(axes, [one.models[name].auc for one in bins for name in names])


def _limit(axes: Any, figures: Sequence[Figure]) -> None:
    """Make room for every value, and for intervals but the longest.

    Where no figure is defined, the panel says so.
    """
    values = [figure.value for figure in figures if figure.value is not None]
    reaches = [_reach(figure) for figure in figures]
    if not values:
        axes.set_ylim(0, 1)
        told = {"transform": axes.transAxes, "ha": "center", "color": "#555555"}
        axes.text(0.5, 0.5, "no bin has both answers", **told)
        return
    shown = [
        end
        for figure, (down, up) in zip(figures, reaches, strict=True)
        if figure.value is not None and max(down, up) <= LONGEST
        for end in (figure.value - down, figure.value + up)
    ]
    low, high = min(values + shown), max(values + shown)
    room = max(0.05 * (high - low), 0.005)
    axes.set_ylim(low - room, high + room)


def _reach(figure: Figure) -> tuple[float, float]:
    """How far the interval goes below and above the value; nothing where there is none."""
    if figure.value is None or figure.low is None or figure.high is None:
        return 0.0, 0.0
    return figure.value - figure.low, figure.high - figure.value


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
