"""A grid as a picture, PNG and SVG: lines over an axis, or one interval a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reclora_cli.metrics.compare import Figure
from reclora_cli.pipeline.ablated import AnyCell
from reclora_cli.pipeline.grid import Grid
from reclora_cli.stages.evaluated import EvaluateResult
from reclora_cli.stages.next_evaluated import EvaluateNextResult
from reclora_cli.stages.picture_style import style
from reclora_cli.workspace import atomic_file

_OURS = 4
"""The style of a single series: a blue."""
_PAPER = "#888888"
_SUFFIXES = (".png", ".svg")
_MEASURES = {"rate": "AUC", "next": "HR@1 of the ranking of candidates"}

Evaluated = EvaluateResult | EvaluateNextResult


def draw(grid: Grid, cells: Sequence[AnyCell], evaluated: Evaluated, folder: Path) -> list[str]:
    """Write ``figure.png`` and ``figure.svg`` into ``folder``; returns the paths."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    lines = grid.experiment.axis is not None
    height = 4.2 if lines else 1.6 + 0.36 * len(cells)
    canvas = Canvas(figsize=(7.2, height), layout="constrained", dpi=150)
    FigureCanvasAgg(canvas)
    axes = canvas.subplots()
    axes.set_title(_title(grid, evaluated), fontsize=9, loc="left")
    (_lines if lines else _rows)(axes, grid, cells)
    return write(canvas, grid, folder)


def write(canvas: Any, grid: Grid, folder: Path) -> list[str]:
    """Write a picture of ``grid`` as ``figure.png`` and ``figure.svg``; returns the paths."""
    import matplotlib as mpl

    files = [folder / f"figure{suffix}" for suffix in _SUFFIXES]
    with mpl.rc_context({"svg.hashsalt": f"{grid.name} {grid.dataset}", "svg.fonttype": "path"}):
        for file in files:
            with atomic_file(file) as opened:
                canvas.savefig(opened, format=file.suffix[1:], metadata=_dateless(file))
    return [str(file) for file in files]


def _dateless(file: Path) -> dict[str, Any]:
    return {"Date": None} if file.suffix == ".svg" else {}


def _title(grid: Grid, evaluated: Evaluated) -> str:
    of = f"{evaluated.rows:,} of {evaluated.of:,}" if evaluated.subset else f"all {evaluated.of:,}"
    return (
        f"{grid.experiment.title}\n{grid.dataset}, {of} {evaluated.split} rows, "
        f"{grid.base.lm.name}, {evaluated.confidence:.0%} intervals"
    )


def _lines(axes: Any, grid: Grid, cells: Sequence[AnyCell]) -> None:
    """The main figure over the axis; every point is labelled with its place and its value."""
    axis = grid.experiment.axis
    assert axis is not None, "drawn as lines"
    names = list(dict.fromkeys(cell.line for cell in cells))
    for at, name in enumerate(names):
        of_line = [cell for cell in cells if cell.line == name and cell.main.value is not None]
        xs = np.array([cell.x for cell in of_line], dtype=float)
        axes.errorbar(
            xs,
            [cell.main.value for cell in of_line],
            yerr=_reaches([cell.main for cell in of_line]),
            capsize=3,
            elinewidth=1,
            linewidth=1.2,
            label=name,
            **style(at + _OURS),
        )
        for x, cell in zip(xs, of_line, strict=True):
            axes.annotate(
                f"{axis.point.format(f'{x:,.0f}')}\n{cell.main.value:.4f}",
                (x, cell.main.value),
                xytext=(5, 5),
                textcoords="offset points",
                fontsize=7,
                color=style(at + _OURS)["color"],
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            )
    if axis.logarithmic:
        axes.set_xscale("log", base=2)
    ticks = sorted({cell.x for cell in cells if cell.x is not None})
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.minorticks_off()
    axes.margins(x=0.2)
    axes.set(xlabel=axis.title, ylabel=_MEASURES[grid.task])
    axes.grid(axis="y", color="#EEEEEE")
    if len(names) > 1:
        axes.legend(frameon=False, fontsize=8)


def _rows(axes: Any, grid: Grid, cells: Sequence[AnyCell]) -> None:
    """One row a cell: our figure with its interval, and the paper's where there is one."""
    at = np.arange(len(cells))[::-1]
    known = [place for place, cell in zip(at, cells, strict=True) if cell.main.value is not None]
    figures = [cell.main for cell in cells if cell.main.value is not None]
    axes.errorbar(
        [figure.value for figure in figures],
        known,
        xerr=_reaches(figures),
        fmt="o",
        color=style(_OURS)["color"],
        capsize=3,
        label="here",
    )
    for place, figure in zip(known, figures, strict=True):
        axes.annotate(
            f"{figure.value:.4f}",
            (figure.value, place),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    paper = [
        (cell.printed, place)
        for place, cell in zip(at, cells, strict=True)
        if cell.printed is not None
    ]
    if paper:
        xs, ys = zip(*paper, strict=True)
        axes.plot(xs, ys, "D", color=_PAPER, markersize=5, label="paper (Vicuna-7B, 70,000 shots)")
        axes.figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    reference = next((cell for cell in cells if cell.label == grid.reference), None)
    if reference is not None and reference.main.value is not None:
        axes.axvline(reference.main.value, color="#CCCCCC", linewidth=0.8, zorder=0)
    axes.set_yticks(at, [cell.label for cell in cells])
    axes.set_ylim(-0.7, len(cells) - 0.3)
    axes.set(xlabel=_MEASURES[grid.task])
    axes.grid(axis="x", color="#EEEEEE")


def _reaches(figures: Sequence[Figure]) -> np.ndarray:
    """(2, n) from each value to the ends of its interval; 0 where it has none."""
    reach = [
        (0.0, 0.0)
        if figure.low is None or figure.high is None or figure.value is None
        else (figure.value - figure.low, figure.high - figure.value)
        for figure in figures
    ]
    return np.array(reach).reshape(-1, 2).T
