"""What the demo gave: the comparison, one explanation, and where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from reclora_cli.cli.render import evaluate, evaluate_next, explain
from reclora_cli.cli.render.figures import count, duration
from reclora_cli.cli.render.layout import stack

if TYPE_CHECKING:
    from reclora_cli.pipeline.demo import DemoResult
    from reclora_cli.pipeline.demo_next import DemoNextResult


def render(result: DemoResult) -> RenderableType:
    """The explanation first, so that the results table stays on the screen."""
    return stack(
        explain.render(result.explanation),
        evaluate.render(result.evaluation),
        Text(
            f"{count(result.shots)} shots show the path; what the method is worth takes more.",
            "faint",
        ),
        Text(_times(result), "faint"),
    )


def render_next(result: DemoNextResult) -> RenderableType:
    """The results table, and where the time went."""
    return stack(
        evaluate_next.render(result.evaluation),
        Text(
            f"{count(result.shots)} shots show the path; what the method is worth takes more.",
            "faint",
        ),
        Text(_times(result), "faint"),
    )


def _times(result: DemoResult | DemoNextResult) -> str:
    spent = ", ".join(f"{stage} {duration(took)}" for stage, took in result.stage_seconds.items())
    return f"{duration(result.seconds)} in all: {spent}."
