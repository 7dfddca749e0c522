"""A row of the task ``next`` as a picture: candidates by probability, and the gate's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reclora_cli.stages.explain_next import ExplainNextResult
from reclora_cli.stages.gate_figure import heat_map
from reclora_cli.stages.gate_view import GateView
from reclora_cli.stages.pictures import save

_LONGEST = 44
"""Letters of a title that fit beside a bar."""
_ROOM = 1.4
"""Width of the axes over the longest bar: what stands behind it needs room."""
_TRUTH, _OTHER, _AVERAGE = "#E69F00", "#0072B2", "#BBBBBB"


def draw(result: ExplainNextResult, path: Path) -> None:
    """Write the figure into ``path`` (PNG, SVG or PDF by its suffix)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [0.22 * len(result.candidates) + 0.8]
    separate = result.gate is not None and result.gate_scope == "projection"
    if result.gate is not None:
        heights += [2.6, 4.4] if separate else [2.6]
    figure = Figure(figsize=(9, sum(heights) + 0.8), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    figure.suptitle(f"{result.dataset}, {result.split} row {result.row}\n{result.run}", fontsize=11)
    placed = np.ravel(figure.subplots(len(heights), 1, height_ratios=heights))
    _candidates(placed[0], result)
    if result.gate is not None:
        _bars(placed[1], result.gate)
    if result.gate is not None and separate:
        heat_map(placed[2], figure, result.gate)
    save(figure, path)


def _candidates(axes: Any, result: ExplainNextResult) -> None:
    """Likeliest on top, each with the encoder's rank where there is one."""
    found, at = result.candidates, np.arange(len(result.candidates))
    colours = [_TRUTH if one.truth else _OTHER for one in found]
    axes.barh(at, [one.probability for one in found], color=colours)
    axes.set_yticks(at, [_name(one.title) for one in found], fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, _ROOM * max(one.probability for one in found))
    encoder = (result.encoder or "").rpartition("-")[0]
    for place, one in zip(at, found, strict=True):
        beside = f"  {encoder}: {one.encoder_rank}" if encoder else ""
        marks = [word for word, holds in (("came next", one.truth), ("said", one.said)) if holds]
        told = f"  {one.probability:.3f}{beside}{'  ' + ', '.join(marks) if marks else ''}"
        weight = "bold" if one.truth else "normal"  # Its bar may be too short to be seen.
        axes.text(one.probability, place, told, va="center", fontsize=7, fontweight=weight)
    axes.set(xlabel="probability among the candidates")


def _bars(axes: Any, gate: GateView) -> None:
    at, width = np.arange(gate.experts), 0.38
    axes.bar(at - width / 2, gate.row, width, label="this row", color=_OTHER)
    axes.bar(
        at + width / 2,
        gate.average,
        width,
        yerr=gate.average_sd,
        label="mean over the run's shots ± sd",
        color=_AVERAGE,
        capsize=2,
    )
    axes.axhline(1 / gate.experts, color="#444444", linewidth=0.8, linestyle=":")
    axes.set(xlabel="expert", ylabel="gate weight", xticks=at)
    axes.legend(fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)


def _name(title: str) -> str:
    return title if len(title) <= _LONGEST else f"{title[:_LONGEST]}…"
