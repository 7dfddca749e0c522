"""``reclora show``: rows as the models see them."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from reclora_cli.cli.options import (
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    Split,
    grouped,
)
from reclora_cli.cli.session import session
from reclora_cli.errors import UsageError

EXAMPLE = "Example: [cyan]reclora show --split test --rows 0:20[/cyan]"


@grouped
def command(
    *,
    split: Annotated[Split, typer.Option("--split", help="Of which split.")] = Split.test,
    rows: Annotated[
        str, typer.Option("--rows", metavar="FROM:TO", help="Positions in the split, from 0.")
    ] = "0:1",
    behaviours: Annotated[
        int | None,
        typer.Option("--behaviours", metavar="N", min=0, help="How many stand in the prompt."),
    ] = None,
    recent: Annotated[
        bool, typer.Option("--recent", help="Recent behaviours instead of retrieved ones.")
    ] = False,
    llm: Annotated[
        str | None,
        typer.Option("--llm", metavar="NAME|PATH", help="LM whose tokens are counted."),
    ] = None,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Rows as the models see them."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import show as view
        from reclora_cli.stages import show as stage

        values = {
            "prompt.history": behaviours,
            "prompt.behaviours": "recent" if recent else None,
        }
        start, stop = span(rows)
        recipe = opened.recipe(recipe_options, values, llm=llm)
        if recipe.prompt.behaviours == "recent":
            opened.ensure("show", recipe, running)
        else:
            opened.run("build-index", recipe, running, device=running.device.value)
        result = stage.run(
            recipe,
            opened.workspace,
            opened.console.progress,
            split=split.value,
            start=start,
            stop=stop,
        )
        opened.console.result(result, view.render(result))


def span(text: str) -> tuple[int, int]:
    """``"3"`` -> (3, 4); ``"0:20"`` -> (0, 20).

    Raises:
        UsageError: anything else, or an empty span.
    """
    found = re.fullmatch(r"(\d+)(?::(\d+))?", text.strip())
    if not found:
        raise UsageError(f"expected FROM:TO, got {text!r}", where="--rows", hint="Say --rows 0:20.")
    start = int(found[1])
    stop = int(found[2]) if found[2] else start + 1
    if stop <= start:
        raise UsageError(f"{text!r} holds no row", where="--rows", hint="Say --rows 0:20.")
    return start, stop
