"""A matplotlib figure as SVG that stands inside a page beside others.

Ids are made the chart's own (they would clash between charts), black follows the page's colour of
text, and text stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "reclora",
    "text.parse_math": False,  # A name may hold a dollar sign.
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.titlesize": 9.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
_SHRUNK = 0.75
"""A narrow screen shrinks a chart so far; below that it scrolls."""
_REFERENCE = re.compile(r'(?:xlink:)?href="#([^"]+)"|url\(#([^)]+)\)')


@contextmanager
def drawing() -> Iterator[None]:
    """Figures made and written within look as the page's charts do."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        yield


def inline(figure: Figure, name: str, about: str) -> Markup:
    """The figure as an ``<svg>`` element; call it within ``drawing``.

    Args:
        name: of letters and digits, unlike those of the page's other charts.
        about: what it shows, for those who hear the page.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    FigureCanvasSVG(figure)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = _own_ids(text, name).replace("#000000", "currentColor")
    view_box = re.search(r'viewBox="[^"]*"', text)
    assert view_box, "matplotlib writes one"
    width = float(view_box[0].split()[2]) / 72 * 96
    head = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {view_box[0]} role="img" '
        f'width="{width:.0f}" style="min-width:{width * _SHRUNK:.0f}px" '
        f'aria-label="{escape(about)}">'
    )
    body = re.sub(r"\n\s*", "\n", text[text.index(">") + 1 :])
    return Markup(head + body)


def _own_ids(text: str, name: str) -> str:
    """Ids that something refers to begin with ``name``; the others go."""
    used = {one or other for one, other in _REFERENCE.findall(text)}

    def renamed(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    text = re.sub(r'\sid="([^"]*)"', renamed, text)
    text = re.sub(r'((?:xlink:)?href)="#', rf'\1="#{name}-', text)
    return text.replace("url(#", f"url(#{name}-")
