"""``reclora`` alone: what the workspace holds, and the next command."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from reclora_cli.cli.console import Console
from reclora_cli.cli.options import OutputOptions, PlaceOptions
from reclora_cli.cli.session import session


def _version(asked: bool) -> None:
    if asked:
        Console().line(f"reclora {metadata.version('reclora')}")
        raise typer.Exit


def command(
    context: typer.Context,
    workspace: Annotated[
        Path | None,
        typer.Option("--workspace", "-w", metavar="FOLDER", help="The workspace to look at."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", hidden=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", hidden=True)] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit."),
    ] = False,
) -> None:
    """Personalised low-rank adaptation of LLMs for recommendation.

    Alone it shows what the workspace holds and the next command.
    """
    if context.invoked_subcommand is not None:
        return
    with session(
        OutputOptions(json=json, no_color=no_color, debug=debug), PlaceOptions(workspace)
    ) as opened:
        from reclora_cli.cli.overview import look
        from reclora_cli.cli.render import overview as view

        found = look(opened.workspace)
        opened.console.result(found, view.render(found))
