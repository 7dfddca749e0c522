"""``reclora pretrain-crm``: the conventional model that guides the gate."""

from __future__ import annotations

from typing import Annotated

import typer

from reclora_cli import catalog
from reclora_cli.cli.options import (
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    WritingOptions,
    grouped,
)
from reclora_cli.cli.session import session

EXAMPLE = "Example: [cyan]reclora pretrain-crm --model din[/cyan]"


@grouped
def command(
    *,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help=f"One of: {', '.join(catalog.CRMS)}. Default: the recipe's (sim).",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", metavar="N", min=1, help="Passes over the training rows, at most."
        ),
    ] = None,
    writing: WritingOptions,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Train the model that guides the experts."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import pretrain_crm as view

        if model is not None:
            catalog.CRMS.check(model, where="--model")
        recipe = opened.recipe(recipe_options, {"crm.model": model, "crm.epochs": epochs})
        result = opened.run(
            "pretrain-crm",
            recipe,
            running,
            device=running.device.value,
            force=writing.force,
            dry_run=writing.dry_run,
        )
        opened.console.result(result, view.render(result))
        opened.console.next("reclora finetune --shots 1024")
