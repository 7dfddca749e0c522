"""What stands out of each expert: effects with their intervals, a panel for each of the traits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reclora_cli.stages.pictures import FAINT, OVER, UNDER, figure_of, save, shortened

if TYPE_CHECKING:
    from reclora_cli.stages.explaining.experts import ExpertsResult
    from reclora_cli.stages.explaining.portraits import Portrait, Trait

COLUMNS = 3
SHARES, NUMBERS = 8, 4
"""Traits that are drawn of each sort: those of the largest effect on any expert."""

_TITLES = {
    "cohen_h": "difference of shares, top quarter minus rest",
    "cliff_delta": "Cliff's delta",
}


def draw(result: ExpertsResult, path: Path) -> None:
    """Write the figure into ``path``."""
    lines = lines_of(result.experts)
    figure = figure_of(11, 1.2 + height_of(result.experts) * lines)
    fill(figure, result.experts)
    figure.suptitle(
        f"{result.run}: where an expert's weight is high\n"
        f"{result.rows:,} rows of {result.users:,} users; bars: 95% intervals, users resampled; "
        "no mark: it does not stand out",
        fontsize=10,
        parse_math=False,
    )
    save(figure, path)


def fill(figure: Any, experts: Sequence[Portrait]) -> None:
    """Panels of the largest effects, or a line that nothing stands out."""
    panels = _panels(experts)
    places = figure.subplots(lines_of(experts), COLUMNS, squeeze=False, sharey=True).ravel()
    for place, (name, measure) in zip(places, panels, strict=False):
        panel(place, experts, name, measure)
    for place in places[len(panels) :]:
        place.set_axis_off()
    if not panels:
        places[0].text(0.5, 0.5, "Nothing stands out.", ha="center", va="center")
    figure.supylabel("expert", fontsize=9)


def lines_of(experts: Sequence[Portrait]) -> int:
    """Lines of panels."""
    return max(1, -(-len(_panels(experts)) // COLUMNS))


def height_of(experts: Sequence[Portrait]) -> float:
    """Inches of a line of panels."""
    return 0.8 + 0.13 * len(experts)


def _panels(experts: Sequence[Portrait]) -> list[tuple[str, str]]:
    shares, numbers = (
        _largest(experts, "cohen_h", SHARES),
        _largest(experts, "cliff_delta", NUMBERS),
    )
    return [*shares, *numbers]


def _largest(experts: Sequence[Portrait], measure: str, most: int) -> list[tuple[str, str]]:
    """Names of the traits of the largest effect on any expert, with how they are measured."""
    largest: dict[str, float] = {}
    for one in experts:
        for trait in one.stands_out:
            if trait.measure == measure:
                name = name_of(trait)
                largest[name] = max(largest.get(name, 0.0), abs(trait.effect))
    return [(name, measure) for name in sorted(largest, key=lambda name: -largest[name])[:most]]


def name_of(trait: Trait) -> str:
    """A trait in words."""
    return trait.about if trait.value is None else f"{trait.about} {trait.value}"


def panel(axes: Any, experts: Sequence[Portrait], name: str, measure: str) -> None:
    """One trait: of each expert where it stands out, the effect and its interval."""
    for one in experts:
        for trait in one.stands_out:
            if name_of(trait) == name:
                value = trait.effect if measure == "cliff_delta" else trait.top - trait.rest
                axes.plot([trait.low, trait.high], [one.expert] * 2, color=FAINT, linewidth=1.2)
                axes.plot(
                    value,
                    one.expert,
                    marker="o" if value > 0 else "D",
                    markersize=4,
                    color=OVER if value > 0 else UNDER,
                )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_title(shortened(name, 40), fontsize=9, parse_math=False)
    axes.set_xlabel(_TITLES[measure], fontsize=7)
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="x", nbins=5)
    axes.set_yticks(range(len(experts)))
    axes.set_ylim(len(experts) - 0.4, -0.6)
    axes.grid(axis="x", color="#80808040")
