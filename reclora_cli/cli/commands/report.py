"""``reclora report``: a workspace as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reclora_cli.cli.options import OutputOptions, PlaceOptions, grouped
from reclora_cli.cli.session import existing, session

EXAMPLE = "Example: [cyan]reclora report --output ml-1m.html[/cyan]"


@grouped
def command(
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE.html", help="Default: report.html in the workspace."
        ),
    ] = None,
    place: PlaceOptions,
    output: OutputOptions,
) -> None:
    """The workspace as one HTML page that needs no network."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import report as view
        from reclora_cli.cli.report.page import write
        from reclora_cli.stages import report

        found = report.run(opened.workspace)
        result = write(found, existing(file) or opened.workspace.root / "report.html")
        opened.console.result(result, view.render(result))
