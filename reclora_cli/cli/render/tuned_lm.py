"""What a search for a fine-tuning's settings found, or would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType

from reclora_cli.cli.render import trials
from reclora_cli.cli.render.figures import NONE, count
from reclora_cli.cli.render.layout import done, indented, pairs, stack

if TYPE_CHECKING:
    from reclora_cli.stages.tune_lm import TunedLm


def render(result: TunedLm) -> RenderableType:
    """The best trials and the chosen settings; of a dry run, what it would take."""
    title = done(
        f"{result.method} tuned on {result.dataset}, {count(result.shots)} shots",
        result.seconds,
        up_to_date=result.up_to_date,
        dry_run=result.dry_run,
    )
    if result.dry_run:
        scored = f"scoring {_rows(result)} counted"
        return stack(title, indented(trials.plan(result, timed=scored)))
    files: dict[str, RenderableType] = {
        "rows": _rows(result),
        "run": result.run or NONE,
        "recipe": result.recipe_file or NONE,
        "folder": result.artefact or NONE,
    }
    return stack(
        title,
        indented(pairs({**trials.told(result), **files})),
        indented(trials.best(result)),
        indented(trials.settings(result)),
    )


def _rows(result: TunedLm) -> str:
    if result.rows == result.valid_rows:
        return f"all {count(result.rows)} validation rows"
    return f"{count(result.rows)} of {count(result.valid_rows)} validation rows, a seeded subset"
