"""The figure of gradients between clusters of users: its runs compared, its table, its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reclora_cli.metrics.compare import SIGNIFICANT
from reclora_cli.pipeline.ablation_figure import write
from reclora_cli.pipeline.grid import Grid
from reclora_cli.progress import SILENT, Progress
from reclora_cli.stages import gradient_alignment
from reclora_cli.stages.gradient_alignment import AlignedRun, AlignmentResult
from reclora_cli.tabular import Cell, Column, Marked, Table
from reclora_cli.workspace import Workspace

_COLOURS = "cividis"
"""From dark blue to yellow, even in lightness: told apart with any colour vision."""
_SAME = "#DDDDDD"
"""Of the diagonal, which is 1 whatever the run."""


def run(
    grid: Grid,
    workspace: Workspace,
    folder: Path,
    progress: Progress = SILENT,
    device: str = "auto",
) -> AlignmentResult:
    """Compare the first seed of each of the grid's runs, all of which are tuned."""
    settings = grid.alignment
    return gradient_alignment.run(
        [(cell.label, cell.recipes[0]) for cell in grid.cells],
        grid.reference,
        workspace,
        folder,
        progress,
        clusters=settings.clusters,
        rows=settings.rows,
        device=device,
    )


def table_of(grid: Grid, found: AlignmentResult) -> Table:
    """A line a run."""

    def row(one: AlignedRun) -> list[Cell]:
        apart = one.difference
        star = "*" if apart is not None and apart.significant else ""
        return [
            one.label,
            Marked(one.between.value, star),
            f"[{one.between.low:.3f}, {one.between.high:.3f}]",
            apart.value if apart is not None else None,
            None if apart is None else f"[{apart.low:.3f}, {apart.high:.3f}]",
            one.within,
        ]

    return Table(
        columns=[
            Column("model", align="left"),
            Column("mean cosine", digits=3),
            Column("interval", align="left"),
            Column("over", digits=3, signed=True),
            Column("its interval", align="left"),
            Column("two halves", digits=3),
        ],
        rows=[row(one) for one in found.runs],
        title=f"{grid.experiment.title} ({found.dataset}, {grid.size})",
        note=_note(grid, found),
    )


def _note(grid: Grid, found: AlignmentResult) -> str:
    over = f"over: minus that of {grid.reference}; * p < {SIGNIFICANT}. " if grid.reference else ""
    return (
        f"Gradients of the tuning loss with respect to the low-rank matrices of tuned adapters, "
        f"dropout off, between {len(found.sizes)} clusters ({found.encoder}, k-means of "
        f"{found.sampled:,} training rows), {_counted(found.rows)} rows of each, tuned on or not. "
        "Experts' matrices under each row's own gate weights. Mean cosine off the diagonal. "
        f"{found.confidence:.0%} intervals by the jackknife over {found.batches} disjoint batches. "
        f"{over}two halves: mean cosine of two halves of a cluster, which without noise would be "
        f"1. Seed {found.seed}, LM {grid.base.lm.name}."
    )


def _counted(rows: list[int]) -> str:
    return f"{rows[0]}" if len({*rows}) == 1 else f"{min(rows)} to {max(rows)}"


def draw(grid: Grid, found: AlignmentResult, folder: Path) -> list[str]:
    """Heat maps beside each other on one scale, as ``figure.png`` and ``figure.svg``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(4.2 * len(found.runs) + 1.0, 5.0), layout="constrained", dpi=150)
    FigureCanvasAgg(canvas)
    every = canvas.subplots(1, len(found.runs), squeeze=False)[0]
    canvas.suptitle(_title(grid, found), fontsize=9, x=0.01, ha="left")
    maps = [_off_diagonal(one) for one in found.runs]
    low = float(np.floor(10 * min(map(np.nanmin, maps))) / 10)
    high = float(np.ceil(10 * max(map(np.nanmax, maps))) / 10)
    shown = [
        _heat(axes, one, values, low, high)
        for axes, one, values in zip(every, found.runs, maps, strict=True)
    ]
    every[0].set_ylabel("cluster of training rows; like ones are neighbours")
    canvas.colorbar(shown[0], ax=list(every), label="cosine of gradients", shrink=0.8)
    return write(canvas, grid, folder)


def _title(grid: Grid, found: AlignmentResult) -> str:
    return (
        f"{grid.experiment.title}\n{found.dataset}, {grid.base.lm.name}, {_counted(found.rows)} "
        f"rows a cluster, {found.confidence:.0%} intervals over {found.batches} batches"
    )


def _off_diagonal(one: AlignedRun) -> np.ndarray:
    values = np.array(one.cosines)
    np.fill_diagonal(values, np.nan)
    return values


def _heat(axes: Any, one: AlignedRun, values: np.ndarray, low: float, high: float) -> Any:
    import matplotlib as mpl

    colours = mpl.colormaps[_COLOURS].with_extremes(bad=_SAME)
    shown = axes.imshow(values, cmap=colours, vmin=low, vmax=high)
    between = one.between
    axes.set_title(
        f"{one.label}\nmean {between.value:.3f} [{between.low:.3f}, {between.high:.3f}], "
        f"two halves of one {one.within:.3f}",
        fontsize=8,
    )
    ticks = np.arange(len(values))
    axes.set_xticks(ticks, [f"{at + 1}" for at in ticks])
    axes.set_yticks(ticks, [f"{at + 1}" for at in ticks])
    middle = (low + high) / 2
    for row, column in zip(*np.nonzero(~np.isnan(values)), strict=True):
        value = values[row, column]
        colour = "white" if value < middle else "black"
        text = f"{value:.2f}".replace("0.", ".", 1)
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    return shown
