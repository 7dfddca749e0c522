"""What searches for CRMs' settings found, or would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType

from reclora_cli.cli.render import trials
from reclora_cli.cli.render.figures import NONE
from reclora_cli.cli.render.layout import done, indented, pairs, stack
from reclora_cli.cli.render.several_crms import failures

if TYPE_CHECKING:
    from reclora_cli.pipeline.crms import Several
    from reclora_cli.stages.tune_crm import TunedCrm


def render(result: Several[TunedCrm]) -> RenderableType:
    """For each model the best trials and the chosen settings; of a dry run, what it would take."""
    parts: list[RenderableType | None] = []
    for tuned in result.models:
        parts.append(
            done(
                f"{tuned.model} tuned on {tuned.dataset}",
                tuned.seconds,
                up_to_date=tuned.up_to_date,
                dry_run=tuned.dry_run,
            )
        )
        if tuned.dry_run:
            parts.append(indented(trials.plan(tuned, timed="validation not counted")))
            continue
        files = {"recipe": tuned.recipe_file or NONE, "folder": tuned.artefact or NONE}
        parts += [
            indented(pairs({**trials.told(tuned), **files})),
            indented(trials.best(tuned)),
            indented(trials.settings(tuned)),
        ]
    return stack(*parts, failures(result.failed))
