"""``reclora export``: one mixture of a run's experts as an ordinary PEFT LoRA."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reclora_cli.cli import choices
from reclora_cli.cli.options import (
    DatasetOptions,
    Device,
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    grouped,
)
from reclora_cli.cli.session import existing, session

EXAMPLE = 'Example: [cyan]reclora export --user 42 --item "Heat (1995)" --output heat[/cyan]'


@grouped
def command(
    *,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="ID", help="The user's id as the dataset writes it."),
    ] = None,
    item: Annotated[
        str | None,
        typer.Option("--item", metavar="TITLE|ID", help="The item that the gate reads beside it."),
    ] = None,
    average: Annotated[
        bool,
        typer.Option("--average", help="Instead of an item: mean weights over the user's rows."),
    ] = False,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Default: the latest finished run with a gate."),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option("--rank", metavar="R", min=1, help="Cut down by SVD; tells what is lost."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--output", metavar="FOLDER", help="Default: one in the workspace."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an adapter that is there.")
    ] = False,
    device: Annotated[Device, typer.Option("--device", help="Where the CRM reads.")] = Device.auto,
    dataset: DatasetOptions,
    place: PlaceOptions,
    output: OutputOptions,
) -> None:
    """One mixture as an ordinary PEFT LoRA.

    A row has a mixture of its own: name the item, or take the mean. Runs without a gate, and gates
    that read the user alone (gate.input=user), need no item.
    """
    with session(output, place) as opened:
        from reclora_cli.cli.render import export as view

        recipe = opened.recipe(RecipeOptions(recipe=dataset.recipe))
        if not average:
            user, item, average = choices.mixture_of(opened, recipe, run, user, item)
        result = opened.call(
            "export",
            recipe,
            run=run,
            user=user,
            item=item,
            average=average,
            rank=rank,
            output=existing(folder),
            force=force,
            device=device.value,
        )
        opened.console.result(result, view.render(result))
