"""A what-if as a tornado: the largest differences of P(yes), from what it is as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reclora_cli.stages.pictures import OVER, UNDER, figure_of, save, shortened

if TYPE_CHECKING:
    from reclora_cli.stages.explaining.changes import Change
    from reclora_cli.stages.explaining.what_if import WhatIfResult

SHOWN = 24
"""Changes that are drawn, of those that the LM was asked about."""

_KINDS = {
    "expert": "without",
    "prompt": "prompt without",
    "crm": "CRM without",
    "history": "CRM reads history of",
    "profile": "",
}


def draw(result: WhatIfResult, path: Path) -> None:
    """Write the figure into ``path``."""
    lines = tornado_lines(result.changes)
    figure = figure_of(9, 1.6 + 0.27 * max(len(lines), 3))
    tornado(figure.subplots(), lines, result.probability)
    title = shortened(f"User {result.user}, {result.target.title}", 80)
    figure.suptitle(f"{title}\n{result.run}", fontsize=11, parse_math=False)
    save(figure, path)


def tornado_lines(changes: Sequence[Change]) -> list[tuple[str, float]]:
    """Label and difference of the largest differences, the largest first."""
    asked = [
        (f"{_KINDS[one.kind]} {one.what}".strip(), one.difference)
        for one in changes
        if one.difference is not None
    ]
    return sorted(asked, key=lambda line: -abs(line[1]))[:SHOWN]


def tornado(axes: Any, lines: list[tuple[str, float]], as_it_is: float) -> None:
    """Bars from P(yes) as it is to what it becomes, the largest on top."""
    places = list(range(len(lines)))[::-1]
    for place, (_, difference) in zip(places, lines, strict=True):
        axes.barh(place, difference, left=as_it_is, color=OVER if difference > 0 else UNDER)
    labels = [shortened(label) for label, _ in lines]
    axes.set_yticks(places, labels, fontsize=8, parse_math=False)
    axes.axvline(as_it_is, color="black", linewidth=0.8)
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.grid(axis="x", color="#80808040")
    axes.set_xlabel(f"P(yes); {as_it_is:.3f} as it is")
