"""``reclora demo``: the whole path on MovieLens-100K, and what it gives."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from reclora_cli.cli.options import Device, OutputOptions, PlaceOptions, grouped
from reclora_cli.cli.session import session

EXAMPLE = "Example: [cyan]reclora demo[/cyan]"


class DemoMethod(StrEnum):
    """Papers whose path may be walked."""

    reclora = "reclora"
    ilora = "ilora"


@grouped
def command(
    *,
    method: Annotated[
        DemoMethod,
        typer.Option(
            "--method", help="Which paper's path: RecLoRA's ratings or iLoRA's sequences."
        ),
    ] = DemoMethod.reclora,
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

        how: dict[str, Any] = {
            "shots": shots,
            "rows": rows,
            "seed": seed,
            "device": device.value,
            "confirm": opened.person(yes=yes),
        }
        if method is DemoMethod.ilora:
            from reclora_cli.pipeline import demo_next

            chosen = demo_next.run(opened.workspace, opened.console.progress, **how)
            opened.console.result(chosen, view.render_next(chosen))
            return
        from reclora_cli.pipeline import demo

        result = demo.run(opened.workspace, opened.console.progress, **how)
        opened.console.result(result, view.render(result))
