"""``reclora prepare``: a dataset's original files become the interactions store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from reclora_cli import catalog
from reclora_cli.cli import ask
from reclora_cli.cli.options import (
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    WritingOptions,
    grouped,
)
from reclora_cli.cli.session import Session, existing, session
from reclora_cli.errors import UsageError

EXAMPLE = "Example: [cyan]reclora prepare ml-1m[/cyan]"


@grouped
def command(
    *,
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET", help=f"One of: {', '.join(catalog.DATASETS)}.", show_default=False
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="PATH", help="Folder or zip with the original files: no download."
        ),
    ] = None,
    writing: WritingOptions,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Fetch a dataset, split it by time, prove it leak-free."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import prepare as view

        recipe = opened.recipe(_choose(opened, dataset, recipe_options))
        result = opened.run(
            "prepare",
            recipe,
            running,
            given=existing(source),
            force=writing.force,
            dry_run=writing.dry_run,
        )
        opened.console.result(result, view.render(result))
        opened.console.next("reclora build-index")


def _choose(opened: Session, dataset: str | None, options: RecipeOptions) -> RecipeOptions:
    if dataset is not None:
        catalog.DATASETS.check(dataset, where="DATASET")
        source = (f"data.source={dataset}",) if options.recipe else ()
        return replace(
            options,
            recipe=options.recipe or dataset,
            overrides=[*(options.overrides or ()), *source],
        )
    if options.recipe is not None:
        return options
    if not opened.console.interactive:
        raise UsageError(
            "which dataset?", where="DATASET", hint=f"One of: {', '.join(catalog.DATASETS)}."
        )
    return replace(options, recipe=ask.choice(opened.console, "Dataset", list(catalog.DATASETS)))
