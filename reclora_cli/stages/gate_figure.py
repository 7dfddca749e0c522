"""A user's gate weights as a picture: bars by expert, heat map by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reclora_cli.stages.explain import ExplainResult
from reclora_cli.stages.gate_view import GateView
from reclora_cli.stages.pictures import figure_of, save, shortened


def draw(result: ExplainResult, path: Path) -> None:
    """Write the figure of a run with a gate into ``path`` (PNG, SVG or PDF by its suffix)."""
    assert result.gate is not None, "a plot of a run without a gate is refused before it is asked"
    figure = figure_of(9, 8)
    figure.suptitle(
        shortened(f"User {result.user}{_about(result)}", 90) + f"\n{result.run}",
        fontsize=11,
        parse_math=False,  # A title may hold dollar signs.
    )
    bars, heat = figure.subplots(2, 1, height_ratios=[1, 1.6])
    _bars(bars, result.gate)
    heat_map(heat, figure, result.gate)
    save(figure, path)


def _about(result: ExplainResult) -> str:
    if result.target is None:
        return ", without a target"
    return f", {result.target.title}: P(yes) = {result.probability:.3f}"


def _bars(axes: Any, gate: GateView) -> None:
    at, width = np.arange(gate.experts), 0.27
    named = f"user, mean ± sd over {gate.user_rows} rows"
    axes.bar(at - width, gate.row, width, label="this row", color="#0072B2")
    axes.bar(at, gate.user, width, yerr=gate.user_sd, label=named, color="#56B4E9", capsize=2)
    average = f"average of {gate.average_users} users ± sd"
    axes.bar(
        at + width,
        gate.average,
        width,
        yerr=gate.average_sd,
        label=average,
        color="#BBBBBB",
        capsize=2,
    )
    axes.axhline(1 / gate.experts, color="#444444", linewidth=0.8, linestyle=":")
    axes.set(xlabel="expert", ylabel="gate weight, mean over projections", xticks=at)
    axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.18), frameon=False)


def heat_map(axes: Any, figure: Any, gate: GateView) -> None:
    """The row's weights by layer and expert."""
    image = axes.imshow(np.array(gate.by_layer), aspect="auto", cmap="viridis", vmin=0)
    axes.set(xlabel="expert", ylabel="layer", xticks=np.arange(gate.experts))
    figure.colorbar(
        image, ax=axes, label="gate weight of this row, mean over a layer's projections"
    )
