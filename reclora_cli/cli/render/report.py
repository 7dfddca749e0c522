"""A report that was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from reclora_cli.cli.render.figures import count, size
from reclora_cli.cli.render.layout import heading, stack

if TYPE_CHECKING:
    from reclora_cli.cli.report.page import WrittenReport


def render(result: WrittenReport) -> RenderableType:
    """Where it lies, what it holds, and what it left out."""
    holds = {
        "dataset": result.datasets,
        "CRM": result.crms,
        "encoder": result.encoders,
        "run": result.runs,
        "evaluation": result.evaluations,
        "ablation": result.ablations,
    }
    told = ", ".join(
        f"{count(number)} {name}{'' if number == 1 else 's'}"
        for name, number in holds.items()
        if number or name != "encoder"
    )
    left = [Text(f"Left out: {note}", "warn") for note in result.notes]
    return stack(heading(result.file, size(result.bytes)), Text(told), *left)
