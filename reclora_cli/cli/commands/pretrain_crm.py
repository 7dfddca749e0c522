"""``reclora pretrain-crm``: the conventional models, one of which guides the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reclora_cli import catalog, processes
from reclora_cli.cli.crm_names import chosen_crms
from reclora_cli.cli.options import (
    LogOptions,
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    WritingOptions,
    grouped,
)
from reclora_cli.cli.session import Session, session
from reclora_cli.errors import UsageError

if TYPE_CHECKING:
    from reclora_cli.pipeline.crms import Way
    from reclora_cli.recipe import Recipe

EXAMPLE = "Example: [cyan]reclora pretrain-crm --model din,sim[/cyan]"

_TUNING = "Tuning"


@grouped
def command(
    *,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME[,NAME]",
            help=f"One or several of: {', '.join(catalog.CRMS)}; or all. "
            "Default: the recipe's (sim).",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", metavar="N", min=1, help="Passes over the training rows, at most."
        ),
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Search the paper's grid on validation rows; what --set names is not searched.",
            rich_help_panel=_TUNING,
        ),
    ] = False,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            metavar="N",
            min=1,
            help="Of each model, earlier calls' included. Default: 20.",
            rich_help_panel=_TUNING,
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            metavar="MINUTES",
            min=0.01,
            help="No trial starts after so long; shared by the models.",
            rich_help_panel=_TUNING,
        ),
    ] = None,
    logging: LogOptions,
    writing: WritingOptions,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Train the model that guides the experts, or several.

    Stopped and repeated, the command goes on where it stood, with --tune too.
    """
    with session(output, place) as opened:
        models = chosen_crms(model)
        _check_tuning(tune, trials, budget)
        if tune:
            models = _with_grid(opened, models)
        names: list[str | None] = [*models] or [None]
        recipes = [
            opened.recipe_of_any_task(recipe_options, {"crm.model": name, "crm.epochs": epochs})
            for name in names
        ]
        _check_task(recipes, tune)
        if not tune and len(recipes) == 1:
            _train_one(opened, recipes[0], running, writing, logging)
            return
        way = _way(opened, running, writing, logging)
        if tune:
            held = [text.partition("=")[0].strip() for text in recipe_options.overrides or ()]
            searching = {"trials": trials, "budget_minutes": budget, "held": held}
            _tune(opened, recipes, way, searching)
        else:
            _train_several(opened, recipes, way)


def _check_task(recipes: list[Recipe], tune: bool) -> None:
    if recipes[0].task == "next" and (tune or len(recipes) > 1):
        raise UsageError(
            "sequence encoders are trained one a call, and not searched",
            where="--tune" if tune else "--model",
            hint=f"Name one of {', '.join(catalog.SEQUENCE_ENCODERS)}.",
        )


def _check_tuning(tune: bool, trials: int | None, budget: float | None) -> None:
    if not tune and (trials is not None or budget is not None):
        named = "--trials" if trials is not None else "--budget"
        raise UsageError("nothing is tuned without --tune", where=named, hint="Add --tune.")
    if trials is not None and budget is not None:
        raise UsageError("how long a search goes on is said twice", where="--trials and --budget")


def _with_grid(opened: Session, models: list[str]) -> list[str]:
    """``models`` without those that have nothing to search, if they are one of several."""
    from reclora_cli.recipe import grids

    without = [name for name in models if name not in grids.MODELS]
    if not without or len(models) == 1:
        return models
    opened.console.say(f"The paper searched no grid for {', '.join(without)}: left out.")
    return [name for name in models if name in grids.MODELS]


def _way(
    opened: Session, running: RunningOptions, writing: WritingOptions, logging: LogOptions
) -> Way:
    from reclora_cli.pipeline.crms import Way

    return Way(
        device=running.device.value,
        no_deps=running.no_deps or not processes.started().alone,
        confirm=opened.person(yes=running.yes),
        force=writing.force,
        dry_run=writing.dry_run,
        tensorboard=logging.tensorboard,
    )


def _train_one(
    opened: Session,
    recipe: Recipe,
    running: RunningOptions,
    writing: WritingOptions,
    logging: LogOptions,
) -> None:
    result = opened.run(
        "pretrain-crm",
        recipe,
        running,
        device=running.device.value,
        force=writing.force,
        dry_run=writing.dry_run,
        tensorboard=logging.tensorboard,
    )
    if recipe.task == "next":
        from reclora_cli.cli.render import pretrain_encoder

        opened.console.result(result, pretrain_encoder.render(result))
        return
    from reclora_cli.cli.render import pretrain_crm as view

    opened.console.result(result, view.render(result))
    opened.console.next("reclora finetune --shots 1024")


def _train_several(opened: Session, recipes: list[Recipe], way: Way) -> None:
    from reclora_cli.cli.render import several_crms as view
    from reclora_cli.pipeline import crms

    result = crms.train(recipes, opened.workspace, way, opened.console.progress)
    opened.console.result(result, view.render(result))
    if result.failed:
        raise typer.Exit(1)
    opened.console.next("reclora evaluate --no-lm")


def _tune(opened: Session, recipes: list[Recipe], way: Way, searching: dict[str, Any]) -> None:
    from reclora_cli.cli.render import tuned_crms as view
    from reclora_cli.pipeline import crms

    result = crms.tune(recipes, opened.workspace, way, opened.console.progress, **searching)
    opened.console.result(result, view.render(result))
    if result.failed:
        raise typer.Exit(1)
    if not way.dry_run:
        opened.console.next(f"reclora evaluate --no-lm --recipe {result.models[-1].recipe_file}")
