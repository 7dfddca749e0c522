"""``reclora serve``: a run over HTTP."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from reclora_cli import processes
from reclora_cli.cli.options import (
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    grouped,
)
from reclora_cli.cli.session import Session, session
from reclora_cli.errors import MissingInputError
from reclora_cli.serving.limits import LEAST_QUEUE, Limits

if TYPE_CHECKING:
    from socket import socket

    from reclora_cli.serving.service import Service

EXAMPLE = "Example: [cyan]reclora serve --port 8000[/cyan]"

_ADDRESS, _LOAD = "Address", "Load"
_OF_THE_EXTRA = {"fastapi", "fastapi_offline", "starlette", "uvicorn"}


@grouped
def command(
    *,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Default: the latest finished run with a gate."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Whoever reaches it may ask: there is no authentication.",
            rich_help_panel=_ADDRESS,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port",
            metavar="N",
            min=0,
            max=65535,
            help="0: any that is free.",
            rich_help_panel=_ADDRESS,
        ),
    ] = 8000,
    queue: Annotated[
        int,
        typer.Option(
            "--queue",
            metavar="N",
            min=LEAST_QUEUE,
            help="Questions that may wait; then 503.",
            rich_help_panel=_LOAD,
        ),
    ] = Limits.queue,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.1,
            max=86_400,
            help="Of a request; then 503.",
            rich_help_panel=_LOAD,
        ),
    ] = Limits.timeout_s,
    wait: Annotated[
        float,
        typer.Option(
            "--wait",
            metavar="MS",
            min=0,
            max=10_000,
            help="A first question waits so long for others to share its forward pass.",
            rich_help_panel=_LOAD,
        ),
    ] = Limits.wait_s * 1000,
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            metavar="SECONDS",
            min=0,
            max=86_400,
            help="Told to stop, it answers what is under way for so long.",
            rich_help_panel=_LOAD,
        ),
    ] = Limits.grace_s,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Answer over HTTP: scores, recommendations, explanations.

    Questions of all who ask at once share forward passes of the LLM. Writes nothing;
    Ctrl-C or SIGTERM stops it when requests under way are answered.
    """
    with session(output, place) as opened:
        processes.require_alone()
        _require_extra()
        from reclora_cli.serving.service import Service
        from reclora_cli.web.listening import listen

        recipe = opened.recipe(recipe_options)
        if run is None:
            opened.require_run(recipe, running)
        limits = Limits(queue, timeout, wait / 1000, grace)
        with (
            listen(host, port) as listening,
            Service.open(
                recipe,
                opened.workspace,
                opened.console.progress,
                limits=limits,
                run=run,
                device=running.device.value,
            ) as service,
        ):
            _serve(opened, service, listening)


def _serve(opened: Session, service: Service, listening: socket) -> None:
    """Say where, answer until told to stop, say how it went."""
    from reclora_cli.cli.render import serve as view
    from reclora_cli.serving.service import Serving
    from reclora_cli.web.listening import is_local, serve, url_of

    console, url = opened.console, url_of(listening)
    if not is_local(listening):
        console.warn(
            "other machines reach this address, and there is no authentication: whoever asks is "
            "answered"
        )
    result = Serving(url, f"{url}/docs", f"{url}/openapi.json", os.getpid(), service.describe())
    cut = serve(
        service,
        listening,
        on_start=lambda: console.result(result, view.render(result)),
        on_stop=lambda: console.say(view.stopping(service.batcher.open_requests, service.limits)),
        log_requests=console.verbose,
    )
    console.say(view.stopped(service.counts(), cut))


def _require_extra() -> None:
    """Refuse to go on without FastAPI and uvicorn.

    Raises:
        MissingInputError: one is not installed.
    """
    try:
        import reclora_cli.web.listening  # noqa: F401
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _OF_THE_EXTRA:
            raise
        raise MissingInputError(
            f"{missing} is not installed, which only this command needs",
            where="reclora serve",
            hint="Run `pip install 'reclora[serve]'`; in a checkout "
            "`pip install -c constraints.txt -e '.[serve]'`.",
        ) from None
