"""An evaluation as a picture: AUC by break-down, and calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reclora_cli.stages.break_downs import BY_SHOTS
from reclora_cli.stages.calibration_panel import draw_reliability, draw_rows
from reclora_cli.stages.evaluated import EvaluateResult, ModelResult, short_names
from reclora_cli.stages.pictures import require_picture, save
from reclora_cli.stages.slices_panel import LONGEST, draw_bins

_TITLES = {
    "user": "user in training",
    BY_SHOTS: "user in the shots",
    "history": "behaviours in the row's past",
    "popularity": "training rows of the item",
}
_ROWS: tuple[dict[str, float], ...] = (
    {"user": 2, BY_SHOTS: 2, "history": 5},
    {"popularity": 1},
    {"reliability": 1, "rows": 1},
)
"""Panels of each row, and how wide they are among themselves."""
_LEGEND_WIDTH = 130
"""Letters that fit beside each other below the panels."""


def draw(result: EvaluateResult, path: Path) -> None:
    """Write the figure into ``path`` (PNG, SVG or PDF by its suffix).

    Raises:
        UsageError: as ``require_picture``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    require_picture(path)
    figure = Canvas(figsize=(11, 13), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    figure.suptitle(_title(result), fontsize=11)
    axes = _panels(figure, without=() if _by_shots(result) else (BY_SHOTS,))
    for by, title in _TITLES.items():
        if by in axes:
            bins = [one for one in result.slices if one.by == by]
            draw_bins(axes[by], bins, [model.name for model in result.models], title)
    draw_reliability(axes["reliability"], result.models, result.confidence)
    draw_rows(axes["rows"], result.models)
    handles = axes["user"].get_legend_handles_labels()[0]
    names = short_names(result.models)
    labels = [_label(names[model.name], model) for model in result.models]
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=max(1, min(len(labels), _LEGEND_WIDTH // (max(map(len, labels)) + 6))),
        fontsize=9,
        frameon=False,
    )
    save(figure, path)


def _by_shots(result: EvaluateResult) -> bool:
    return any(one.by == BY_SHOTS for one in result.slices)


def _panels(figure: Any, without: tuple[str, ...]) -> dict[str, Any]:
    """Axes of all panels but those ``without``, by name."""
    rows = figure.add_gridspec(len(_ROWS), 1, height_ratios=[4, 4, 5])
    found: dict[str, Any] = {}
    for at, row in enumerate(_ROWS):
        widths = {name: width for name, width in row.items() if name not in without}
        places = rows[at].subgridspec(1, len(widths), width_ratios=list(widths.values()))
        found |= {name: figure.add_subplot(places[place]) for place, name in enumerate(widths)}
    return found


def _title(result: EvaluateResult) -> str:
    rows = f"{result.rows:,} of {result.of:,}" if result.subset else f"all {result.of:,}"
    return (
        f"{rows} {result.split} rows of {result.dataset}: AUC with {result.confidence:.0%} "
        f"intervals (DeLong; those beyond ±{LONGEST} may leave their panel), and calibration"
    )


def _label(name: str, model: ModelResult) -> str:
    ece = model.all.ece.value
    return name if ece is None else f"{name} (ECE {ece:.3f})"
