"""What ``explain`` told of runs, as charts of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reclora_cli.cli.report.svg import inline
from reclora_cli.stages.explaining import portrait_figure, tornado_figure
from reclora_cli.stages.kept_explanations import (
    KeptExperts,
    KeptExplanation,
    KeptNextExplanation,
    KeptWhatIf,
    Told,
)


@dataclass(frozen=True)
class Explained:
    """Of a dataset's runs, each with the run's name; charts stand beside what they draw."""

    users: list[tuple[str, KeptExplanation]]
    rows: list[tuple[str, KeptNextExplanation]]
    what_ifs: list[tuple[str, KeptWhatIf, Markup]]
    experts: list[tuple[str, KeptExperts, Markup]]


def explained(told: Sequence[tuple[str, Told]], name: str) -> Explained:
    """By kind; call it within ``drawing``.

    Args:
        told: run and explanation each.
        name: what the charts' names begin with.
    """
    asked = [(run, one) for run, one in told if isinstance(one, KeptWhatIf)]
    described = [(run, one) for run, one in told if isinstance(one, KeptExperts)]
    return Explained(
        users=[(run, one) for run, one in told if isinstance(one, KeptExplanation)],
        rows=[(run, one) for run, one in told if isinstance(one, KeptNextExplanation)],
        what_ifs=[(run, one, _tornado(one, f"{name}w{at}")) for at, (run, one) in enumerate(asked)],
        experts=[
            (run, one, _portraits(one, f"{name}x{at}")) for at, (run, one) in enumerate(described)
        ],
    )


def _tornado(told: KeptWhatIf, name: str) -> Markup:
    lines = tornado_figure.tornado_lines(told.changes)
    figure = _figure(7.2, 0.9 + 0.2 * max(len(lines), 3))
    tornado_figure.tornado(figure.subplots(), lines, told.probability)
    return inline(figure, name, f"P(yes) of {told.title} with one thing changed")


def _portraits(told: KeptExperts, name: str) -> Markup:
    height = portrait_figure.height_of(told.experts) * portrait_figure.lines_of(told.experts)
    figure = _figure(9.2, 0.6 + height)
    portrait_figure.fill(figure, told.experts)
    return inline(figure, name, "What stands out where an expert's weight is high")


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
