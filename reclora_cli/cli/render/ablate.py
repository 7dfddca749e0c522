"""Tables of an ablation, and what it would take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from reclora_cli import catalog
from reclora_cli.cli.render.figures import NONE, count, duration
from reclora_cli.cli.render.layout import heading, indented, stack, table

if TYPE_CHECKING:
    from reclora_cli.pipeline.ablated import AblateResult, GridResult, Plan, TextTable
    from reclora_cli.stages.parameter_counts import ParameterCounts


_LEADING_ZERO = re.compile(r"(?<![\d.])0\.")
"""As the paper prints figures: .7472."""


def render(result: AblateResult) -> RenderableType:
    """Every grid, one below the other."""
    return stack(*(_grid(grid) for grid in result.grids))


@dataclass(frozen=True)
class Variants:
    """The variants by name, each with the question that it answers."""

    variants: dict[str, str]


def known() -> Variants:
    """Every variant of the catalogue."""
    return Variants({name: catalog.VARIANTS.load(name).asks for name in catalog.VARIANTS})


def variants() -> RenderableType:
    """The variants, and the question that each answers."""
    made = table("variant", "asks", left=("variant", "asks"))
    for name, asks in known().variants.items():
        made.add_row(Text(name, "strong"), asks)
    return made


def _grid(grid: GridResult) -> RenderableType:
    head = heading(grid.title, f"{grid.dataset}, {grid.size}")
    if grid.plan is not None:
        return stack(head, indented(_plan(grid.plan)))
    assert grid.table is not None, "made"
    kept = f"Kept in {grid.artefact.rpartition('/')[0]}: {_names(grid.files)}."
    return stack(
        head,
        _table(grid.table),
        Text(grid.table.note, "faint") if grid.table.note else None,
        Text(kept, "faint"),
    )


def _names(files: Sequence[str]) -> str:
    return ", ".join(file.rpartition("/")[2] for file in files)


def _table(made: TextTable) -> RenderableType:
    """Only the first column may wrap: figures stay in one line at 80 columns."""
    first, *others = made.columns
    shown = table(first, *map(_head, others))
    for row in made.rows:
        shown.add_row(*(_cell(cell) for cell in row))
    return shown


def _head(name: str) -> str:
    """In two lines, where it is two words or says whose figures these are."""
    broken = name.startswith("paper ") or len(name.split()) == 2
    return name.replace(" ", "\n", 1) if broken else name


def _cell(text: str) -> Text:
    shown = _LEADING_ZERO.sub(".", text).replace(" %", "%")
    return Text(shown, "faint" if text == NONE else "")


def _plan(plan: Plan) -> RenderableType:
    counted = any(run.parameters for run in plan.runs)
    counts = ("trains", "at 7B") if counted else ()
    made = table("model", "state", "shots", "to score", *counts, "about", left=("state",))
    for run in plan.runs:
        made.add_row(
            Text(run.label, "strong"),
            run.state,
            count(run.shots) if run.shots else NONE,
            count(run.to_score) if run.to_score else NONE,
            *(_counts(run.parameters) if counted else ()),
            NONE if run.seconds is None else duration(run.seconds),
        )
    told = []
    if plan.shared:
        took = (
            "unknown" if plan.shared_seconds is None else f"about {duration(plan.shared_seconds)}"
        )
        told.append(f"Before them, once: {', '.join(plan.shared)} ({took}).")
    known = "" if plan.seconds is None else f"about {duration(plan.seconds)}, "
    told.append(f"In all: {known}{plan.from_what}.")
    return Group(made, *(Text(line, "faint") for line in told))


def _counts(found: ParameterCounts | None) -> tuple[str, str]:
    return (NONE, NONE) if found is None else (count(found.trained), count(found.at_7b))


def _about(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"about {duration(seconds)}"
