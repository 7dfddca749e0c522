"""What stands out of each expert: effects with their intervals, a panel for each of the traits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reclora_cli.stages.explaining.pictures import FAINT, OVER, UNDER, figure_of, save, shortened

if TYPE_CHECKING:
    from reclora_cli.stages.explaining.experts import ExpertsResult
    from reclora_cli.stages.explaining.portraits import Trait

SHARES, NUMBERS = 8, 4
"""Traits that are drawn of each sort: those of the largest effect on any expert."""

_TITLES = {
    "cohen_h": "difference of shares, top quarter minus rest",
    "cliff_delta": "Cliff's delta",
}


def draw(result: ExpertsResult, path: Path) -> None:
    """Write the figure into ``path``."""
    panels = [*traits_of(result, "cohen_h", SHARES), *traits_of(result, "cliff_delta", NUMBERS)]
    columns = 3
    lines = max(1, -(-len(panels) // columns))
    tall = 0.8 + 0.13 * len(result.experts)
    figure = figure_of(11, 1.2 + tall * lines)
    axes = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for place, (name, measure) in zip(axes, panels, strict=False):
        panel(place, result, name, measure)
    for place in axes[len(panels) :]:
        place.set_axis_off()
    if not panels:
        axes[0].text(0.5, 0.5, "Nothing stands out.", ha="center", va="center")
    figure.supylabel("expert", fontsize=9)
    figure.suptitle(
        f"{result.run}: where an expert's weight is high\n"
        f"{result.rows:,} rows of {result.users:,} users; bars: 95% intervals, users resampled; "
        "none: does not stand out",
        fontsize=10,
    )
    save(figure, path)


def traits_of(result: ExpertsResult, measure: str, most: int) -> list[tuple[str, str]]:
    """Names of the traits of the largest effect on any expert, with how they are measured."""
    largest: dict[str, float] = {}
    for one in result.experts:
        for trait in one.stands_out:
            if trait.measure == measure:
                name = name_of(trait)
                largest[name] = max(largest.get(name, 0.0), abs(trait.effect))
    return [(name, measure) for name in sorted(largest, key=lambda name: -largest[name])[:most]]


def name_of(trait: Trait) -> str:
    """A trait in words."""
    return trait.about if trait.value is None else f"{trait.about} {trait.value}"


def panel(axes: Any, result: ExpertsResult, name: str, measure: str) -> None:
    """One trait: of each expert where it stands out, the effect and its interval."""
    for one in result.experts:
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
    axes.set_title(shortened(name, 40), fontsize=9)
    axes.set_xlabel(_TITLES[measure], fontsize=7)
    axes.tick_params(labelsize=7)
    axes.set_yticks(range(len(result.experts)))
    axes.set_ylim(len(result.experts) - 0.4, -0.6)
    axes.grid(axis="x", color="#80808040")
