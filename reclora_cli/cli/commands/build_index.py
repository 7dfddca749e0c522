"""``reclora build-index``: item vectors by the LM, PCA, and each row's ranked past."""

from __future__ import annotations

from typing import Annotated

import typer

from reclora_cli.cli.options import (
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    WritingOptions,
    grouped,
)
from reclora_cli.cli.session import session

EXAMPLE = 'Example: [cyan]reclora build-index --similar "Heat (1995)"[/cyan]'


@grouped
def command(
    *,
    similar: Annotated[
        str | None,
        typer.Option("--similar", metavar="TITLE", help="Then list the items nearest to this one."),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, help="How many of them.")
    ] = 10,
    llm: Annotated[
        str | None,
        typer.Option("--llm", metavar="NAME|PATH", help="LM whose vectors are used."),
    ] = None,
    writing: WritingOptions,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Item vectors by the LM; each row's past, ranked."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import build_index as view

        recipe = opened.recipe(recipe_options, llm=llm)
        result = opened.run(
            "build-index",
            recipe,
            running,
            device=running.device.value,
            force=writing.force,
            dry_run=writing.dry_run,
        )
        if similar is None or writing.dry_run:
            opened.console.result(result, view.render(result))
            opened.console.next("reclora pretrain-crm")
            return
        from reclora_cli.stages.similar import similar as nearest

        found = nearest(recipe, opened.workspace, similar, count)
        opened.console.result(found, view.render_similar(found))
