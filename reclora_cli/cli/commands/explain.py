"""``reclora explain``: which experts speak for a user, and what the model would answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reclora_cli.cli.options import (
    DatasetOptions,
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    grouped,
)
from reclora_cli.cli.session import existing, session

EXAMPLE = 'Example: [cyan]reclora explain --user 42 --item "Heat (1995)"[/cyan]'


@grouped
def command(
    *,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="ID", help="The user's id as the dataset writes it."),
    ] = None,
    item: Annotated[
        str | None,
        typer.Option(
            "--item", metavar="TITLE|ID", help="Target item. Default: the user's latest row."
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Default: the latest finished run."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="Also draw the gate weights."),
    ] = None,
    dataset: DatasetOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Which experts speak for a user, and P(yes)."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import explain as view

        user = user or opened.required("user", "--user", "the user's id, e.g. --user 42")
        recipe = opened.recipe(RecipeOptions(recipe=dataset.recipe))
        if run is None:
            opened.require_run(recipe, running)
        result = opened.call(
            "explain",
            recipe,
            user=user,
            item=item,
            run=run,
            plot=existing(plot),
            device=running.device.value,
        )
        opened.console.result(result, view.render(result))
