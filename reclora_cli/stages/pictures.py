"""Pictures that explanations are drawn into, and their colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reclora_cli.errors import UsageError
from reclora_cli.workspace import require_place

OVER, UNDER, FAINT = "#009E73", "#CC79A7", "#777777"
"""After Okabe & Ito: told apart by lightness and without red-green."""


def require_picture(path: Path) -> None:
    """Refuse a file of ``--plot`` that cannot become a picture, before anything is computed.

    Raises:
        UsageError: the suffix names no picture format, or it cannot be written there.
    """
    require_place(path, "--plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = FigureCanvasAgg(Figure()).get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in known:
        raise UsageError(
            f"cannot write {path.suffix or 'a file without suffix'}",
            where="--plot",
            hint="Use .png or .svg.",
        )


def figure_of(width: float, height: float) -> Any:
    """A figure of that many inches, laid out without overlaps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained", dpi=120)
    FigureCanvasAgg(made)
    return made


def save(figure: Any, path: Path) -> None:
    """Write it, PNG or SVG by its suffix; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def shortened(text: str, most: int = 46) -> str:
    """A label that fits."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
