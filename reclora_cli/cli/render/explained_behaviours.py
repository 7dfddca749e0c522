"""Behaviours that a prompt and its CRM read, in time order, with their likeness to the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import count, measure, stars
from reclora_cli.cli.render.layout import heading, indented, stack

if TYPE_CHECKING:
    from reclora_cli.stages.explain import ExplainResult
    from reclora_cli.stages.explaining.read_behaviours import Behaviour

_TWO = 130
"""Columns from which the CRM's many stand in two columns."""

_TITLE = 40


def behaviours(result: ExplainResult, width: int) -> RenderableType:
    """Those of the prompt, then those of the CRM."""
    if not result.behaviours:
        return Text("The prompt holds no behaviour: there is none before this question.", "faint")
    marks = ["● the CRM's too"] if result.crm_behaviours else []
    prompt = Group(
        heading("Behaviours in the prompt", _alike(result.behaviours), *marks),
        indented(_grid(result.behaviours, result.scale_top)),
    )
    if not result.crm_behaviours:
        return prompt
    return stack(
        prompt,
        Group(
            heading(
                f"The {count(len(result.crm_behaviours))} behaviours that the CRM reads",
                "● in the prompt too",
            ),
            indented(_beside(result.crm_behaviours, result.scale_top, width)),
        ),
    )


def _alike(shown: Sequence[Behaviour]) -> str:
    told = any(one.similarity is not None for one in shown)
    return f"in time order{', cosine to the target' if told else ''}"


def _beside(shown: Sequence[Behaviour], top: float, width: int) -> Table:
    if width < _TWO:
        return _grid(shown, top)
    half = -(-len(shown) // 2)
    grid = Table.grid(padding=(0, 3))
    grid.add_row(_grid(shown[:half], top), _grid(shown[half:], top, start=half))
    return grid


def _grid(shown: Sequence[Behaviour], top: float, start: int = 0) -> Table:
    grid = Table.grid(padding=(0, 1))
    for _ in range(5):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", max_width=_TITLE)
    for number, one in enumerate(shown, start=start):
        grid.add_row(
            Text(f"{number:>2}", "faint"),
            Text(one.date, "faint"),
            stars(one.rating, top),
            measure(one.similarity, 2) if one.similarity is not None else "",
            Text("●" if one.in_both else " ", "key"),
            one.title,
        )
    return grid
