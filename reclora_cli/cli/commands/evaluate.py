"""``reclora evaluate``: runs, the CRM and the untuned LM side by side on the same rows."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reclora_cli.cli.options import (
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    WritingOptions,
    grouped,
)
from reclora_cli.cli.session import Session, session

if TYPE_CHECKING:
    from reclora_cli.recipe import Recipe

EXAMPLE = "Example: [cyan]reclora evaluate --rows 1000 --zero-shot[/cyan]"


class ScoredSplit(StrEnum):
    """Splits that may be scored."""

    valid = "valid"
    test = "test"


@grouped
def command(
    *,
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows", metavar="N", min=1, help="A seeded subset of this size. Default: every row."
        ),
    ] = None,
    split: Annotated[
        ScoredSplit | None,
        typer.Option("--split", help="Which rows are scored.", show_default="test"),
    ] = None,
    runs: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="Repeatable. Default: the latest finished run."),
    ] = None,
    zero_shot: Annotated[
        bool, typer.Option("--zero-shot", help="Also score the untuned LM.")
    ] = False,
    crm: Annotated[bool, typer.Option("--crm/--no-crm", help="Also score the CRM.")] = True,
    lm: Annotated[
        bool, typer.Option("--lm/--no-lm", help="Also score runs: --no-lm leaves the CRM alone.")
    ] = True,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="NAME", help="What the others are held against."),
    ] = None,
    writing: WritingOptions,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Score methods side by side, with intervals."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import evaluate as view

        values = {"evaluate.rows": rows, "evaluate.split": split and split.value}
        recipe = opened.recipe(recipe_options, values)
        if not writing.dry_run:
            if crm and not lm:
                opened.run("pretrain-crm", recipe, running, device=running.device.value)
            elif lm and not runs and not opened.has_run(recipe):
                _provide(opened, recipe, running, crm=crm, zero_shot=zero_shot)
        result = opened.call(
            "evaluate",
            recipe,
            runs=tuple(runs or ()),
            lm=lm,
            crm=crm,
            zero_shot=zero_shot,
            reference=reference,
            device=running.device.value,
            force=writing.force,
            dry_run=writing.dry_run,
        )
        opened.console.result(result, view.render(result))


def _provide(
    opened: Session, recipe: Recipe, running: RunningOptions, *, crm: bool, zero_shot: bool
) -> None:
    """See to it that there is something to score, where no finished run will be.

    Cheap stages run unasked; a fine-tuning only when the person agrees.
    """
    from reclora_cli.stages import locate

    if zero_shot:
        adapter = recipe.adapter.model_copy(update={"kind": "none"})
        opened.ensure("evaluate", recipe.model_copy(update={"adapter": adapter}), running)
    elif crm and locate.crm(recipe, opened.workspace).manifest() is not None:
        opened.console.say("No run is tuned yet: the CRM is scored alone.")
    else:
        opened.require_run(recipe, running)
