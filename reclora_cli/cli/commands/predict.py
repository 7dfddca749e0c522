"""``reclora predict``: scores of the pairs of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reclora_cli import catalog
from reclora_cli.cli import choices
from reclora_cli.cli.options import (
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    grouped,
)
from reclora_cli.cli.session import session

EXAMPLE = "Example: [cyan]reclora predict --input pairs.csv --output scores.parquet[/cyan]"


@grouped
def command(
    *,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="CSV, JSON lines or Parquet with columns user and item; time may stand beside.",
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="A .parquet or .csv file."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Default: the latest finished run."),
    ] = None,
    crm: Annotated[bool, typer.Option("--crm", help="By the CRM instead of a run.")] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Which CRM; so --crm need not be said."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Unknown users and items are errors.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an output that is there.")
    ] = False,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Score the pairs of a file, in its order.

    A pair is asked about with what the user did before its time, else before
    rating the item itself, else with all of it. Interrupted, it goes on when repeated.
    """
    with session(output, place) as opened:
        from reclora_cli.cli.render import predict as view

        by_crm = crm or model is not None
        if model is not None:
            catalog.CRMS.check(model, where="--model")
        pairs = choices.file_of(opened, source, "pairs", "--input")
        suggested = str(pairs.with_name(f"{pairs.name.partition('.')[0]}-scores.parquet"))
        scores = choices.file_of(opened, target, "scores", "--output", default=suggested)
        recipe = opened.recipe(recipe_options, {"crm.model": model})
        if run is None and not by_crm:
            opened.require_run(recipe, running)
        result = opened.call(
            "predict",
            recipe,
            input=pairs,
            output=scores,
            run=run,
            crm=by_crm,
            strict=strict,
            force=force,
            device=running.device.value,
        )
        opened.console.result(result, view.render(result))
