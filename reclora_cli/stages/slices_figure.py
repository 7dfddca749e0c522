"""Break-downs as a picture: AUC with intervals by user, history length and popularity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reclora_cli.errors import UsageError
from reclora_cli.metrics.compare import Figure
from reclora_cli.stages.break_downs import Slice
from reclora_cli.stages.evaluated import EvaluateResult, short_names

_PANELS = {
    "user": "user in training",
    "history": "behaviours in the row's past",
    "popularity": "training rows of the item",
}
_COLOURS = (
    *("#000000", "#E69F00", "#56B4E9", "#009E73"),
    *("#0072B2", "#D55E00", "#CC79A7", "#7F6A00"),
)
"""Okabe & Ito's palette, told apart with any colour vision; its yellow darkened, to show on white.
Markers differ too, for print without colour."""
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
_SPREAD = 0.7
"""Share of a bin's width over which its models stand side by side."""
_LONGEST = 0.06
"""Reach of an interval beyond which the axis does not make room for it: bins of few rows would
flatten all others."""


def check_format(path: Path) -> None:
    """Whether ``path`` can be drawn, before anything is scored.

    Raises:
        UsageError: its suffix names no picture format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if path.suffix.lstrip(".").lower() not in FigureCanvasAgg.filetypes:
        raise UsageError(
            f"cannot write {path.suffix or 'a file without suffix'}",
            where="--plot",
            hint="Use .png or .svg.",
        )


def draw(result: EvaluateResult, path: Path) -> None:
    """Write the figure into ``path`` (PNG, SVG or PDF by its suffix).

    Raises:
        UsageError: the suffix names no picture format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    check_format(path)
    figure = Canvas(figsize=(11, 8.5), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    figure.suptitle(_title(result), fontsize=11)
    axes: dict[str, Any] = figure.subplot_mosaic(
        [["user", "history"], ["popularity"] * 2], width_ratios=[2, 5]
    )
    for by, title in _PANELS.items():
        bins = [one for one in result.slices if one.by == by]
        _panel(axes[by], bins, [model.name for model in result.models], title)
    handles = axes["user"].get_legend_handles_labels()[0]
    figure.legend(
        handles,
        list(short_names(result.models).values()),
        loc="outside lower center",
        ncols=len(handles) if len(handles) <= 5 else -(-len(handles) // 2),
        fontsize=9,
        frameon=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _title(result: EvaluateResult) -> str:
    rows = f"{result.rows:,} of {result.of:,}" if result.subset else f"all {result.of:,}"
    return (
        f"AUC on {rows} {result.split} rows of {result.dataset}, "
        f"{result.confidence:.0%} intervals (DeLong)"
    )


def _panel(axes: Any, bins: Sequence[Slice], names: Sequence[str], title: str) -> None:
    at = np.arange(len(bins))
    offsets = (np.arange(len(names)) - (len(names) - 1) / 2) * (_SPREAD / max(len(names), 1))
    for model, name in enumerate(names):
        figures = [one.models[name].auc for one in bins]
        axes.errorbar(
            at + offsets[model],
            [_or_nan(figure.value) for figure in figures],
            yerr=np.array([_reach(figure) for figure in figures]).reshape(-1, 2).T,
            color=_COLOURS[model % len(_COLOURS)],
            marker=_MARKERS[model % len(_MARKERS)],
            markersize=5,
            linewidth=0.6,
            elinewidth=1.2,
            linestyle="-" if model < len(_COLOURS) else "--",
            label=name,
        )
    for border in at[1:] - 0.5:
        axes.axvline(border, color="#DDDDDD", linewidth=0.8, zorder=0)
    labels = [f"{one.bin}\nn {one.rows:,}" for one in bins]
    axes.set(xlabel=title, ylabel="AUC", xticks=at, xticklabels=labels)
    axes.set_xlim(-0.5, len(bins) - 0.5)
    axes.grid(axis="y", color="#EEEEEE")
    _limit(axes, [one.models[name].auc for one in bins for name in names])


def _limit(axes: Any, figures: Sequence[Figure]) -> None:
    """Make room for every value, and for intervals but the longest, which are cut and said to be.

    Constant scores and the like leave nothing to make room for: the axis is then matplotlib's.
    """
    values = [figure.value for figure in figures if figure.value is not None]
    reaches = [_reach(figure) for figure in figures]
    if not values:
        return
    shown = [
        end
        for figure, (down, up) in zip(figures, reaches, strict=True)
        if figure.value is not None and max(down, up) <= _LONGEST
        for end in (figure.value - down, figure.value + up)
    ]
    low, high = min(values + shown), max(values + shown)
    room = max(0.05 * (high - low), 0.005)
    axes.set_ylim(low - room, high + room)
    if any(max(reach) > _LONGEST for reach in reaches):
        axes.text(
            *(0.995, 0.98, f"intervals beyond ±{_LONGEST} may leave the panel"),
            transform=axes.transAxes,
            ha="right",
            va="top",
            fontsize=7,
            color="#555555",
        )


def _reach(figure: Figure) -> tuple[float, float]:
    """How far the interval goes below and above the value; nothing where there is none."""
    if figure.value is None or figure.low is None or figure.high is None:
        return 0.0, 0.0
    return figure.value - figure.low, figure.high - figure.value


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
