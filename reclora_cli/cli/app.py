"""Mounts the commands; nothing else happens here."""

from __future__ import annotations

import gc

import typer

from reclora_cli.cli.commands import (
    ablate,
    build_index,
    cache,
    config,
    demo,
    doctor,
    evaluate,
    explain,
    export,
    finetune,
    init,
    overview,
    predict,
    prepare,
    pretrain_crm,
    recommend,
    report,
    runs,
    serve,
    show,
)

DATA, TRAIN, EVALUATE, INSPECT, TOOLS = "Data", "Train", "Evaluate", "Inspect", "Tools"

app = typer.Typer(
    name="reclora",
    epilog="New here? [cyan]reclora demo[/cyan] walks the whole path in minutes.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _mount(panel: str, module: object, name: str) -> None:
    command = getattr(module, "command")  # noqa: B009 - every command module has one
    example = getattr(module, "EXAMPLE")  # noqa: B009
    app.command(name, rich_help_panel=panel, epilog=example)(command)


app.callback(invoke_without_command=True)(overview.command)
_mount(DATA, prepare, "prepare")
_mount(DATA, build_index, "build-index")
_mount(DATA, init, "init")
_mount(TRAIN, pretrain_crm, "pretrain-crm")
_mount(TRAIN, finetune, "finetune")
_mount(EVALUATE, evaluate, "evaluate")
_mount(EVALUATE, ablate, "ablate")
_mount(EVALUATE, demo, "demo")
_mount(INSPECT, explain, "explain")
_mount(INSPECT, show, "show")
_mount(INSPECT, recommend, "recommend")
_mount(INSPECT, predict, "predict")
_mount(INSPECT, serve, "serve")
app.add_typer(runs.app, name="runs", rich_help_panel=INSPECT)
_mount(INSPECT, report, "report")
_mount(INSPECT, export, "export")
app.add_typer(config.app, name="config", rich_help_panel=TOOLS)
app.add_typer(cache.app, name="cache", rich_help_panel=TOOLS)
_mount(TOOLS, doctor, "doctor")


def main() -> None:
    """The ``reclora`` command."""
    try:
        app()
    finally:
        gc.freeze()  # The interpreter's last collection need not walk through a million objects.
