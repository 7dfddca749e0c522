"""The page's charts, each as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from markupsafe import Markup

from reclora_cli.cli.report.rows import Bin, SameRows
from reclora_cli.cli.report.svg import inline
from reclora_cli.metrics.compare import Figure
from reclora_cli.stages.kept_evaluations import KeptModel
from reclora_cli.stages.report import GateWeights, ReportedCrm, ReportedRun

SERIES = 8
"""Lines in one chart: as many as there are colours that are told apart."""
_COLOURS = (
    *("#2f7ed8", "#e08a00", "#17a589", "#c0508f"),
    *("#d9541e", "#7d6fd0", "#8a7a12", "#6c7a89"),
)
"""After Okabe & Ito, of a lightness that shows on white and on black; markers differ too."""
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_FEW, _LONG = 5, 0.25
"""Bins that share a line with another break-down; the longest interval that makes room."""
_GRID = "#80808040"
_TITLES = {
    "user": "user in training",
    "item": "item in training",
    "history": "behaviours in the row's past",
    "popularity": "training rows of the item",
}


def training(runs: Sequence[ReportedRun], name: str) -> Markup:
    """Mean loss by step, a line for each run."""
    figure, axes = _axes(7.2, 2.8)
    for at, run in enumerate(runs):
        axes.plot(run.curve.steps, run.curve.losses, label=run.line.name, **_line(at))
    axes.set(xlabel="optimizer step", ylabel="training loss")
    _legend(axes)
    return inline(figure, name, "Training loss by optimizer step")


def validation(crms: Sequence[ReportedCrm], name: str) -> Markup:
    """Validation AUC by step, a line for each CRM."""
    figure, axes = _axes(7.2, 2.8)
    for at, crm in enumerate(crms):
        axes.plot(
            crm.steps, crm.validation_auc, label=crm.name, **_line(at), **_marker(at, size=3.5)
        )
    axes.set(xlabel="optimizer step", ylabel="validation AUC")
    _legend(axes)
    return inline(figure, name, "Validation AUC by optimizer step")


def shots(ladders: Mapping[str, Sequence[tuple[int, Figure]]], name: str) -> Markup:
    """AUC with intervals by shots, a line for runs that differ in shots alone."""
    figure, axes = _axes(5.2, 2.8)
    for at, (label, points) in enumerate(ladders.items()):
        _error_bars(axes, [at for at, _ in points], [auc for _, auc in points], label, at)
    axes.set_xscale("log", base=2)
    ticks = sorted({at for points in ladders.values() for at, _ in points})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="shots", ylabel="AUC")
    _legend(axes)
    return inline(figure, name, "AUC by shots")


def slices(group: SameRows, models: Sequence[KeptModel], name: str) -> Markup:
    """AUC with intervals by bin: a panel for each break-down, those of many bins on their own."""
    panels = [(by, list(bins)) for by, bins in groupby(group.bins, key=lambda one: one.by)]
    few = [panel for panel in panels if len(panel[1]) <= _FEW]
    lines = [line for line in (few, *([panel] for panel in panels if panel not in few)) if line]
    figure = _figure(9.2, 2.2 * len(lines) + 0.4)
    placed = []
    for part, line in zip(np.ravel(figure.subfigures(len(lines), 1)), lines, strict=True):
        widths = [len(bins) + 1 for _, bins in line]
        placed += list(part.subplots(1, len(line), squeeze=False, width_ratios=widths).ravel())
    for axes, (by, bins) in zip(placed, (panel for line in lines for panel in line), strict=True):
        _panel(axes, bins, [model.name for model in models], group.labels)
        axes.set(xlabel=_TITLES.get(by, by), ylabel="AUC")
    handles, labels = placed[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(handles)))
    return inline(figure, name, "AUC by user, item, history and popularity")


def _panel(axes: Any, bins: Sequence[Bin], names: Sequence[str], labels: Mapping[str, str]) -> None:
    offsets = (np.arange(len(names)) - (len(names) - 1) / 2) * (0.7 / max(len(names), 1))
    places = np.arange(len(bins))
    for at, name in enumerate(names):
        figures = [one.auc.get(name, Figure(None, None, None)) for one in bins]
        _error_bars(axes, list(places + offsets[at]), figures, labels[name], at, linestyle="none")
    _room(axes, [figure for one in bins for figure in one.auc.values()])
    axes.set_xticks(places, [f"{one.bin}\nn {one.rows:,}" for one in bins], fontsize=7.5)
    axes.set_xlim(-0.5, len(bins) - 0.5)
    axes.grid(axis="y", color=_GRID)


def _room(axes: Any, figures: Sequence[Figure]) -> None:
    """Room for values whose interval is no longer than ``_LONG``; others may leave the panel."""
    sure = [figure for figure in figures if figure.value is not None and sum(_reach(figure)) > 0]
    short = [figure for figure in sure if sum(_reach(figure)) <= _LONG] or sure
    if short:
        low = min(figure.value - _reach(figure)[0] for figure in short if figure.value is not None)
        high = max(figure.value + _reach(figure)[1] for figure in short if figure.value is not None)
        room = max(0.08 * (high - low), 0.005)
        axes.set_ylim(low - room, high + room)


def calibration(models: Sequence[KeptModel], labels: Mapping[str, str], name: str) -> Markup:
    """Share of likes by mean P(yes) of each bin, with intervals; the diagonal is calibrated."""
    figure, axes = _axes(4.6, 3.8)
    axes.plot([0, 1], [0, 1], color="#808080", linewidth=0.8, linestyle=":")
    for at, model in enumerate(models):
        bins = [one for one in model.calibration if one.rows]
        figures = [Figure(one.share_of_likes, one.low, one.high) for one in bins]
        _error_bars(axes, [one.mean_probability for one in bins], figures, labels[model.name], at)
    axes.set(xlabel="mean P(yes)", ylabel="share of likes", xlim=(0, 1), ylim=(0, 1))
    _legend(axes)
    return inline(figure, name, "Calibration: share of likes by mean P(yes)")


def gates(gate: GateWeights, name: str) -> Markup:
    """The average user's weights: bars by expert, and a heat map by layer where there are some."""
    layered = len(gate.by_layer) > 1
    figure = _figure(4.4, 3.6 if layered else 1.8)
    placed = figure.subplots(2 if layered else 1, 1, squeeze=False, sharex=True).ravel()
    experts = np.arange(len(gate.mean))
    placed[0].bar(experts, gate.mean, yerr=gate.sd, color=_COLOURS[0], ecolor="#808080", width=0.7)
    placed[0].axhline(1 / len(gate.mean), color="#808080", linewidth=0.8, linestyle=":")
    placed[0].set(ylabel="weight ± sd", xticks=experts)
    if layered:
        shown = placed[1].imshow(
            np.array(gate.by_layer), aspect="auto", cmap="viridis", interpolation="nearest", vmin=0
        )
        placed[1].set(ylabel="layer")
        figure.colorbar(shown, ax=placed[1], location="bottom", aspect=40, pad=0.02)
    placed[-1].set_xlabel("expert")
    return inline(figure, name, "Gate weights of the average user, by expert and layer")


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height), layout="constrained")


def _axes(width: float, height: float) -> tuple[Any, Any]:
    figure = _figure(width, height)
    axes = figure.subplots()
    axes.grid(color=_GRID, linewidth=0.6)
    return figure, axes


def _line(at: int) -> dict[str, Any]:
    return {"color": _COLOURS[at % SERIES], "linewidth": 1.3}


def _marker(at: int, size: float) -> dict[str, Any]:
    return {"marker": _MARKERS[at % SERIES], "markersize": size}


def _error_bars(
    axes: Any,
    places: Sequence[float],
    figures: Sequence[Figure],
    label: str,
    at: int,
    linestyle: str = "-",
) -> None:
    values = [float("nan") if figure.value is None else figure.value for figure in figures]
    reach = np.array([_reach(figure) for figure in figures], dtype=float).reshape(-1, 2).T
    look = {**_line(at), **_marker(at, 4.5), "elinewidth": 1.0, "linestyle": linestyle}
    axes.errorbar(places, values, yerr=reach, label=label, **look)


def _reach(figure: Figure) -> tuple[float, float]:
    if figure.value is None or figure.low is None or figure.high is None:
        return 0.0, 0.0
    return max(figure.value - figure.low, 0.0), max(figure.high - figure.value, 0.0)


def _legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 if len(labels) < 3 else 2
    axes.figure.legend(handles, labels, loc="outside lower center", ncols=columns)
