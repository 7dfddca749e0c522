"""How models are told apart in pictures."""

from __future__ import annotations

from typing import Any

_COLOURS = (
    *("#000000", "#E69F00", "#56B4E9", "#009E73"),
    *("#0072B2", "#D55E00", "#CC79A7", "#7F6A00"),
)
"""Okabe & Ito's palette, told apart with any colour vision; its yellow darkened, to show on white.
Markers differ too, for print without colour."""
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")


def style(model: int) -> dict[str, Any]:
    """Colour, marker and line of the model at index ``model``, as matplotlib takes them."""
    return {
        "color": _COLOURS[model % len(_COLOURS)],
        "marker": _MARKERS[model % len(_MARKERS)],
        "markersize": 5,
        "linestyle": "-" if model < len(_COLOURS) else "--",
    }
