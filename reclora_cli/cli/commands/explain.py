"""``reclora explain``: which experts speak for a user or a row, and what the model answers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reclora_cli.cli.options import (
    DatasetOptions,
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    grouped,
)
from reclora_cli.cli.session import Session, existing, session
from reclora_cli.errors import UsageError

if TYPE_CHECKING:
    from reclora_cli.recipe import Recipe

_ROW = "Name a row: --row 17."

EXAMPLE = 'Example: [cyan]reclora explain --user 42 --item "Heat (1995)"[/cyan]'


class AskedSplit(StrEnum):
    """Splits whose rows have candidates."""

    valid = "valid"
    test = "test"


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
    row: Annotated[
        int | None,
        typer.Option("--row", metavar="N", help="Task next: a row's number in its split, from 0."),
    ] = None,
    split: Annotated[
        AskedSplit | None,
        typer.Option("--split", help="Task next: the row's split. Default: test; of --user, both."),
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
    """Which experts speak for a user, and P(yes); task next: candidates of a row, ranked."""
    with session(output, place) as opened:
        recipe = opened.recipe_of_any_task(RecipeOptions(recipe=dataset.recipe))
        picture = existing(plot)
        if recipe.task == "next":
            if item is not None:
                raise UsageError(
                    "a row of the task next has its own candidates", where="--item", hint=_ROW
                )
            if row is None and user is None:
                row = _asked_row(opened)
            asked = {"row": row, "user": user, "split": split and split.value}
            _next(opened, recipe, running, {**asked, "run": run, "plot": picture})
            return
        for given, option in ((row, "--row"), (split, "--split")):
            if given is not None:
                raise UsageError(
                    f"only the task next is explained by row, and {recipe.data.source} is of the "
                    f"task {recipe.task}",
                    where=option,
                    hint="Name a user: --user 42, and an item: --item.",
                )
        from reclora_cli.cli.render import explain as view

        user = user or opened.required("user", "--user", "the user's id, e.g. --user 42")
        if run is None:
            opened.require_run(recipe, running)
        result = opened.call(
            "explain",
            recipe,
            user=user,
            item=item,
            run=run,
            plot=picture,
            device=running.device.value,
        )
        opened.console.result(result, view.render(result))


def _next(
    opened: Session, recipe: Recipe, running: RunningOptions, asked: dict[str, object]
) -> None:
    """Of the task ``next``: one row, or a user's latest."""
    from reclora_cli.cli.render import explain_next as view

    if asked["run"] is None:
        opened.require_run(recipe, running)
    result = opened.call("explain-next", recipe, device=running.device.value, **asked)
    opened.console.result(result, view.render(result))


def _asked_row(opened: Session) -> int:
    typed = opened.required("row", "--row", "its number in the split, e.g. --row 17")
    if not typed.strip().isdigit():
        raise UsageError(f"{typed!r} is no row's number", where="--row", hint=_ROW)
    return int(typed)
