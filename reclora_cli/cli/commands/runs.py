"""``reclora runs``: the runs of a workspace, listed, shown, compared and removed."""

from __future__ import annotations

from typing import Annotated

import typer

from reclora_cli.cli import choices
from reclora_cli.cli.options import OutputOptions, PlaceOptions, grouped
from reclora_cli.cli.session import session

_RUN = "Its name, or a beginning that no other has."

app = typer.Typer(
    help="List, show, compare and remove runs.",
    epilog="Example: [cyan]reclora runs ls[/cyan]",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command("ls", epilog="Example: [cyan]reclora runs ls --dataset ml-1m[/cyan]")
@grouped
def ls(
    *,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME", help="Runs of this one. Default: of all."),
    ] = None,
    place: PlaceOptions,
    output: OutputOptions,
) -> None:
    """All runs, finished or not, the newest last."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import runs as view
        from reclora_cli.stages import list_runs

        result = list_runs.run(opened.workspace, dataset)
        opened.console.result(result, view.listed(result))


@app.command("show", epilog="Example: [cyan]reclora runs show reclora-k16-1024[/cyan]")
@grouped
def show(
    *,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help=_RUN, show_default=False)] = None,
    place: PlaceOptions,
    output: OutputOptions,
) -> None:
    """One run: recipe, inputs, figures, files, and the command that repeats it."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import runs as view
        from reclora_cli.stages import show_run

        result = show_run.run(opened.workspace, choices.run_of(opened, run, "run"))
        opened.console.result(result, view.shown(result))


@app.command(
    "compare", epilog="Example: [cyan]reclora runs compare reclora-k16-1024 lora-1024[/cyan]"
)
@grouped
def compare(
    *,
    first: Annotated[
        str | None, typer.Argument(metavar="RUN", help=_RUN, show_default=False)
    ] = None,
    second: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="Another; differences are its.", show_default=False),
    ] = None,
    place: PlaceOptions,
    output: OutputOptions,
) -> None:
    """Two runs: recipes, surroundings, and figures on the same rows."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import compared_runs as view
        from reclora_cli.stages import compare_runs

        one = choices.run_of(opened, first, "run")
        other = choices.run_of(opened, second, "other run", without=[one])
        result = compare_runs.run(opened.workspace, one, other)
        opened.console.result(result, view.render(result))


@app.command("rm", epilog="Example: [cyan]reclora runs rm rella-256[/cyan]")
@grouped
def rm(
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help=_RUN, show_default=False)
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Instead of names: every interrupted run.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    place: PlaceOptions,
    output: OutputOptions,
) -> None:
    """Remove runs, with their scores; exports and evaluations stay."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import runs as view
        from reclora_cli.stages import remove_runs

        wanted = names or ([] if unfinished else [choices.run_of(opened, None, "run")])
        result = remove_runs.run(
            opened.workspace,
            wanted,
            unfinished=unfinished,
            confirm=opened.person(yes=yes),
        )
        opened.console.result(result, view.removed(result))
