"""``reclora finetune``: few-shot tuning of the personalised adapter."""

from __future__ import annotations

from typing import Annotated

import typer

from reclora_cli.cli.options import (
    LogOptions,
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    WritingOptions,
    grouped,
)
from reclora_cli.cli.session import session

EXAMPLE = "Example: [cyan]reclora finetune --experts 16 --shots 70000 --dry-run[/cyan]"


@grouped
def command(
    *,
    experts: Annotated[
        int | None,
        typer.Option("--experts", metavar="N", min=1, help="K, the experts the gate mixes."),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            "--shots", metavar="N", min=1, help="Training rows; fewer are nested in more."
        ),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(
            "--llm", metavar="NAME|PATH", help="Packaged name, hub id, folder or .gguf file."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="reclora, rella, tallrec or lora. Default: the recipe's (reclora).",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", min=1, help="Passes over the shots.")
    ] = None,
    logging: LogOptions,
    writing: WritingOptions,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Tune a personalised adapter on a few rows.

    The LM stays frozen. Stopped and repeated, the command goes on from its last checkpoint.
    """
    with session(output, place) as opened:
        from reclora_cli.cli.render import finetune as view

        values = {
            "adapter.experts": experts,
            "finetune.shots": shots,
            "finetune.epochs": epochs,
            "lm.name": llm,
        }
        recipe = opened.recipe(recipe_options, values, method=method)
        result = opened.run(
            "finetune",
            recipe,
            running,
            device=running.device.value,
            force=writing.force,
            dry_run=writing.dry_run,
            tensorboard=logging.tensorboard,
        )
        opened.console.result(result, view.render(result))
        if not writing.dry_run:
            opened.console.next(f"reclora evaluate --run {result.run} --rows 1000")
