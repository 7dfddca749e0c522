"""``reclora prepare``: a dataset's original files become the interactions store."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from reclora_cli import catalog
from reclora_cli.cli import ask, choices
from reclora_cli.cli.options import (
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    WritingOptions,
    grouped,
)
from reclora_cli.cli.session import Session, existing, session
from reclora_cli.errors import CheckError, UsageError, did_you_mean

_DATASETS = [*catalog.DATASETS, *catalog.SEQUENCE_DATASETS]

EXAMPLE = "Example: [cyan]reclora prepare ml-1m[/cyan]"


@grouped
def command(
    *,
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET", help=f"One of: {', '.join(_DATASETS)}.", show_default=False
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="Folder or zip of the original files; your own data: the file of interactions.",
        ),
    ] = None,
    audit: Annotated[
        bool,
        typer.Option("--audit", help="Prove again that nothing prepared or made from it leaks."),
    ] = False,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init",
            metavar="FILE",
            help="Write a recipe guessed from the file of --from, your own data, and stop.",
        ),
    ] = None,
    writing: WritingOptions,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Fetch a dataset, split it by time, prove it leak-free."""
    with session(output, place) as opened:
        if init is not None:
            _init(opened, dataset, existing(source), init.expanduser(), force=writing.force)
            return

        if audit:
            if source or writing.force or writing.dry_run:
                raise UsageError("it reads what is prepared, and writes nothing", where="--audit")
            _audit(opened, dataset, recipe_options)
            return
        recipe = opened.recipe_of_any_task(_choose(opened, dataset, recipe_options))
        result = opened.run(
            "prepare",
            recipe,
            running,
            given=existing(source),
            confirm=opened.person(yes=running.yes),
            force=writing.force,
            dry_run=writing.dry_run,
        )
        if recipe.task == "next":
            from reclora_cli.cli.render import prepare_sequences

            opened.console.result(result, prepare_sequences.render(result))
            opened.console.next("reclora pretrain-crm")
            return
        from reclora_cli.cli.render import prepare as view

        opened.console.result(result, view.render(result))
        opened.console.next("reclora build-index")


def _audit(opened: Session, dataset: str | None, options: RecipeOptions) -> None:
    """Read everything of a dataset again, by default of the one last prepared."""
    from reclora_cli.cli.render import audit as view
    from reclora_cli.stages import by_task

    named = _named(opened, dataset, options) if dataset else options
    recipe = opened.recipe_of_any_task(named)
    result = by_task.audit(recipe, opened.workspace, opened.console.progress)
    opened.console.result(result, view.render(result))
    if opened.console.json and not result.held:
        # The object on stdout names what is broken; a second one would be one too many.
        raise typer.Exit(CheckError.exit_code)
    result.require()


def _init(
    opened: Session, dataset: str | None, source: Path | None, target: Path, *, force: bool
) -> None:
    from reclora_cli.cli.render import init_recipe as view
    from reclora_cli.stages import init_recipe

    source = choices.file_of(opened, source, "interactions", "--from")
    result = init_recipe.run(source, target, dataset=dataset, force=force)
    opened.console.result(result, view.render(result))
    opened.console.next(result.next_command)


def _choose(opened: Session, dataset: str | None, options: RecipeOptions) -> RecipeOptions:
    if dataset is not None:
        return _named(opened, dataset, options)
    if options.recipe is not None:
        return options
    if not opened.console.interactive:
        raise UsageError("which dataset?", where="DATASET", hint=f"One of: {', '.join(_DATASETS)}.")
    return replace(options, recipe=ask.choice(opened.console, "Dataset", _DATASETS))


def _named(opened: Session, dataset: str, options: RecipeOptions) -> RecipeOptions:
    """The shipped recipe of a dataset of the catalogue, the kept one of one's own, or --recipe."""
    from reclora_cli.stages.own_recipe import kept_recipe

    if options.recipe is not None:
        source = f"data.source={json.dumps(dataset)}"
        return replace(options, overrides=[*(options.overrides or ()), source])
    if dataset in _DATASETS:
        return replace(options, recipe=dataset)
    kept = kept_recipe(opened.workspace, dataset)
    if kept is None:
        raise UsageError(
            f"unknown dataset {dataset!r}",
            where="DATASET",
            hint=f"{did_you_mean(dataset, _DATASETS)} For data of your own: "
            "`reclora prepare --init my.yaml --from FILE`.",
        )
    return replace(options, recipe=str(kept))
