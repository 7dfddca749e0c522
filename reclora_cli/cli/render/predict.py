"""What became of a file of pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from reclora_cli.cli.render.figures import count, duration, rate
from reclora_cli.cli.render.layout import heading, indented, pairs, stack

if TYPE_CHECKING:
    from reclora_cli.stages.predict import PredictResult


def render(result: PredictResult) -> RenderableType:
    """The whole result."""
    entries: dict[str, RenderableType] = {
        "written to": Text(result.output, "strong"),
        "rows": _rows(result),
        **{said: count(rows) for said, rows in result.notes.items()},
    }
    return stack(
        heading("Scores", f"{result.dataset}, {result.kind} {result.model}"),
        indented(pairs(entries)),
        Text(f"Predicted in {duration(result.seconds)}.", "faint"),
    )


def _rows(result: PredictResult) -> str:
    parts = [count(result.rows)]
    if result.kept:
        parts.append(f"{count(result.kept)} of them kept from before")
    if result.rows_per_second:
        parts.append(rate(result.rows_per_second, "rows"))
    if result.without_score:
        parts.append(f"{count(result.without_score)} without a score")
    return ", ".join(parts)
