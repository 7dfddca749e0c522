"""``reclora finetune``: few-shot tuning of the personalised adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reclora_cli import processes
from reclora_cli.cli.options import (
    LogOptions,
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    TuneOptions,
    WritingOptions,
    grouped,
)
from reclora_cli.cli.session import Session, require_ratings, session
from reclora_cli.errors import UsageError

if TYPE_CHECKING:
    from reclora_cli.recipe import Recipe

EXAMPLE = "Example: [cyan]reclora finetune --experts 16 --shots 70000 --dry-run[/cyan]"

_NOT_REPRODUCED = 4


@grouped
def command(
    *,
    experts: Annotated[
        int | None,
        typer.Option("--experts", metavar="N", min=1, help="K, the experts the gate mixes."),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            "--shots", metavar="N", min=1, help="Training rows; fewer are nested in more."
        ),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(
            "--llm",
            metavar="NAME|PATH",
            help="Packaged name, hub id, folder or .gguf file; or shipped settings of one: "
            "vicuna-7b, smollm2-360m, qwen3-0.6b, gemma-3-1b.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="reclora, rella, tallrec, lora-r128, lora, ilora, ilora-hybrid or llara. "
            "Default: the recipe's (reclora; of sequences ilora).",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="ilora-paper or paper: the settings that the authors ran.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", min=1, help="Passes over the shots.")
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--start-from",
            metavar="FOLDER",
            help="A PEFT LoRA that every expert starts as (safetensors).",
        ),
    ] = None,
    from_run: Annotated[
        str | None,
        typer.Option(
            "--from-run",
            metavar="RUN|FOLDER",
            help="Tune this run again from its folder and compare; one that was interrupted "
            "goes on.",
        ),
    ] = None,
    tuning: TuneOptions,
    logging: LogOptions,
    writing: WritingOptions,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Tune a personalised adapter on a few rows.

    The LM stays frozen. Stopped and repeated, the command goes on where it stood, with --tune too.
    """
    with session(output, place) as opened:
        tuning.check()
        values = {
            "adapter.experts": experts,
            "finetune.shots": shots,
            "finetune.epochs": epochs,
            "adapter.start": start_from and str(start_from.expanduser().absolute()),
        }
        layers = {"llm": llm, "preset": preset, "method": method}
        how = {"force": writing.force, "tensorboard": logging.tensorboard}
        if from_run is not None:
            if tuning.tune or writing.dry_run:
                raise UsageError("--from-run repeats one run as it is", where="--from-run")
            _again(opened, from_run, values, layers, recipe_options, running, how)
            return
        values["tune.rows"] = tuning.valid_rows
        recipe = opened.recipe_of_any_task(recipe_options, values, **layers)
        how["dry_run"] = writing.dry_run
        if tuning.tune:
            require_ratings(recipe, "--tune")
            held = [key for key, value in values.items() if value is not None]
            held += [text.partition("=")[0].strip() for text in recipe_options.overrides or ()]
            _search(opened, recipe, running, {**how, **tuning.wanted(), "held": held})
        else:
            _tune(opened, recipe, running, how, named=recipe_options.recipe)


def _tune(
    opened: Session,
    recipe: Recipe,
    running: RunningOptions,
    how: dict[str, Any],
    *,
    named: str | None = None,
) -> None:
    from reclora_cli.cli.render import finetune as view

    result = opened.run("finetune", recipe, running, device=running.device.value, **how)
    opened.console.result(result, view.render(result))
    if not how.get("dry_run"):
        rows = "" if recipe.task == "next" else " --rows 1000"
        # One dataset may be prepared for both tasks: only its recipe says which is meant.
        of = f" --recipe {named}" if named and recipe.task == "next" else ""
        opened.console.next(f"reclora evaluate{of} --run {result.run}{rows}")


def _search(opened: Session, recipe: Recipe, running: RunningOptions, how: dict[str, Any]) -> None:
    from reclora_cli.cli.render import tuned_lm as view

    processes.require_alone("finetune --tune")
    result = opened.run("tune-lm", recipe, running, device=running.device.value, **how)
    opened.console.result(result, view.render(result))
    if not how["dry_run"]:
        opened.console.next(f"reclora evaluate --run {result.run} --rows 1000")


def _again(
    opened: Session,
    named: str,
    values: Mapping[str, Any],
    layers: Mapping[str, str | None],
    options: RecipeOptions,
    running: RunningOptions,
    how: dict[str, Any],
) -> None:
    """Go on with an interrupted run of this workspace, or tune a finished one again."""
    from reclora_cli import recipe as recipes
    from reclora_cli.cli.render import finetune as view
    from reclora_cli.stages import locate, reproduce

    processes.require_alone("finetune --from-run")
    if options.recipe is not None:
        raise UsageError("the recipe is the run's own", where="--from-run and --recipe")
    folder = reproduce.folder_of(opened.workspace, named)
    kept = reproduce.recipe_of(folder)
    wanted = recipes.load(
        folder / "recipe.yaml",
        **layers,
        overrides=options.overrides or (),
        values={**values, "seed": options.seed},
    )
    reproduce.require_same_recipe(folder, kept, wanted, _typed(values, layers, options))
    place = locate.run(kept, opened.workspace)
    if place.manifest() is None and place.path.resolve() == folder.resolve():
        _tune(opened, kept, running, how)
        return
    result = opened.run(
        "reproduce", kept, running, source=folder, device=running.device.value, **how
    )
    opened.console.result(result, view.render(result))
    if not result.reproduction.same:
        raise typer.Exit(_NOT_REPRODUCED)


def _typed(
    values: Mapping[str, Any], layers: Mapping[str, str | None], options: RecipeOptions
) -> str:
    """What was asked for beside the run, as options of a command."""
    given = [f"--{name} {value}" for name, value in layers.items() if value is not None]
    keys = {**values, "seed": options.seed}
    given += [f"--set {key}={value}" for key, value in keys.items() if value is not None]
    return " ".join([*given, *(f"--set {text}" for text in options.overrides or ())])
