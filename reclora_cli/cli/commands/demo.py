"""``reclora demo``: the whole path on MovieLens-100K, and what it gives."""

from __future__ import annotations

from typing import Annotated

import typer

from reclora_cli.cli.options import Device, OutputOptions, PlaceOptions, grouped
from reclora_cli.cli.session import session

EXAMPLE = "Example: [cyan]reclora demo[/cyan]"


@grouped
def command(
    *,
    shots: Annotated[
        int | None,
        typer.Option("--shots", metavar="N", min=1, help="Training rows the LM is tuned on."),
    ] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", metavar="N", min=1, help="Test rows that are scored.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="Of every random choice.")
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Where to compute.")] = Device.auto,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Accept the terms of use of the data.")
    ] = False,
    place: PlaceOptions,
    output: OutputOptions,
) -> None:
    """The whole path on MovieLens-100K, in minutes."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import demo as view
        from reclora_cli.pipeline import demo

        result = demo.run(
            opened.workspace,
            opened.console.progress,
            shots=shots,
            rows=rows,
            seed=seed,
            device=device.value,
            confirm=opened.person(yes=yes),
        )
        opened.console.result(result, view.render(result))
