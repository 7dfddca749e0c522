"""``reclora doctor``: is everything here that is needed, whole, and fast enough?"""

from __future__ import annotations

from typing import Annotated

import typer

from reclora_cli.cli.options import Device, OutputOptions, PlaceOptions, grouped
from reclora_cli.cli.session import session
from reclora_cli.errors import RecloraError

EXAMPLE = "Example: [cyan]reclora doctor --json[/cyan]"


@grouped
def command(
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no server.")] = False,
    speed: Annotated[
        bool, typer.Option("--speed/--no-speed", help="Measure for about five seconds.")
    ] = True,
    device: Annotated[Device, typer.Option("--device", help="What is measured.")] = Device.auto,
    place: PlaceOptions,
    output: OutputOptions,
) -> None:
    """Check packages, machine, sources, cache and workspace.

    Exit code 0: usable; 1: something is broken, and what mends it is said.
    """
    with session(output, place) as opened:
        from reclora_cli.cli.render import doctor as view
        from reclora_cli.stages import doctor

        result = doctor.run(
            opened.workspace,
            opened.console.progress,
            offline=offline,
            speed=speed,
            device=device.value,
        )
        opened.console.result(result, view.render(result))
        if not result.usable:
            raise typer.Exit(RecloraError.exit_code)
