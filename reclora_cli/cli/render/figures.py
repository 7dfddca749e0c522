"""Numbers, times and sizes as people read them."""

from __future__ import annotations

import math

NONE = "–"
"""Stands where there is no figure."""


def count(value: int) -> str:
    """``1234567`` -> ``1,234,567``."""
    return f"{value:,}"


def duration(seconds: float) -> str:
    """``4.25`` -> ``4.2 s``; ``75`` -> ``1 min 15 s``; ``7200`` -> ``2 h 0 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def rate(per_second: float, unit: str) -> str:
    """``6000, rows`` -> ``6,000 rows/s``; slow ones as ``0.42 rows/s``."""
    figure = f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2g}"
    return f"{figure} {unit}/s" if unit else f"{figure}/s"


def size(number_of_bytes: float) -> str:
    """``4294967296`` -> ``4.0 GiB``."""
    if number_of_bytes < 1024:
        return f"{number_of_bytes:.0f} B"
    power = min(int(math.log(number_of_bytes, 1024)), 4)
    return f"{number_of_bytes / 1024**power:.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"


def measure(value: float | None, digits: int = 4) -> str:
    """``0.79314`` -> ``.7931``, as papers print it; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def difference(value: float | None, digits: int = 4) -> str:
    """``0.0123`` -> ``+.0123``; what rounds to nothing has no sign."""
    if value is None or not math.isfinite(value):
        return NONE
    rounded = round(value, digits)
    return f"{'+' if rounded > 0 else ''}{measure(rounded or 0.0, digits)}"


def percent_change(value: float | None) -> str:
    """``0.0047`` -> ``+0.47%``; a dash where there is none."""
    return NONE if value is None or not math.isfinite(value) else f"{value:+.2%}"


def interval(low: float | None, high: float | None, digits: int = 4) -> str:
    """``[.7890, .7972]``; empty where there is none."""
    if low is None or high is None:
        return ""
    return f"[{measure(low, digits)}, {measure(high, digits)}]"


def p_value(value: float | None) -> str:
    """``0.0123`` -> ``.012``; below a thousandth as ``<.001``."""
    if value is None or not math.isfinite(value):
        return NONE
    return "<.001" if value < 0.001 else measure(value, 3)


def stars(rating: float, top: float) -> str:
    """``3.5`` of 5 -> ``★★★½☆``."""
    whole = int(rating)
    half = "½" if rating - whole >= 0.5 else ""
    return "★" * whole + half + "☆" * (round(top) - whole - len(half))
