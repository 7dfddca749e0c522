"""``reclora evaluate``: runs, CRMs and the untuned LM side by side on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reclora_cli import catalog
from reclora_cli.cli.crm_names import ALL, chosen_crms, means_all
from reclora_cli.cli.options import (
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    WritingOptions,
    grouped,
)
from reclora_cli.cli.session import Session, existing, require_ratings, session
from reclora_cli.errors import MissingInputError, UsageError, did_you_mean
from reclora_cli.registry import Registry

if TYPE_CHECKING:
    from reclora_cli.recipe import Recipe

EXAMPLE = "Example: [cyan]reclora evaluate --rows 1000 --zero-shot[/cyan]"

_BREAK_DOWNS = "Break-downs"
_FILES = "Files"


class ScoredSplit(StrEnum):
    """Splits that may be scored."""

    valid = "valid"
    test = "test"


@grouped
def command(
    *,
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows", metavar="N", min=1, help="A seeded subset of this size. Default: every row."
        ),
    ] = None,
    split: Annotated[
        ScoredSplit | None,
        typer.Option("--split", help="Which rows are scored.", show_default="test"),
    ] = None,
    runs: Annotated[
        list[str] | None,
        typer.Option("--run", metavar="RUN", help="Repeatable. Default: the latest finished run."),
    ] = None,
    zero_shot: Annotated[
        bool, typer.Option("--zero-shot", help="Also score the untuned LM.")
    ] = False,
    crm: Annotated[bool, typer.Option("--crm/--no-crm", help="Also score CRMs.")] = True,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME[,NAME]",
            help="CRMs to score, or all that are trained. Default: the one that guides the run.",
        ),
    ] = None,
    lm: Annotated[
        bool, typer.Option("--lm/--no-lm", help="Also score runs: --no-lm leaves CRMs alone.")
    ] = True,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="NAME", help="What the others are held against."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="NAME[,NAME]",
            help="Tables by user, item, history, popularity, shots; or all. --json has all.",
            rich_help_panel=_BREAK_DOWNS,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE.png",
            help="Also draw AUC by user, history and popularity, and calibration.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    save: Annotated[
        list[Path] | None,
        typer.Option(
            "--save",
            metavar="FILE",
            help="Also write .json, or a table as .csv, .md or .tex. Repeatable.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    writing: WritingOptions,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Score methods side by side, with intervals."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import evaluate as view

        shown = _break_downs(by)
        _check_files(plot, save or ())
        values = {"evaluate.rows": rows, "evaluate.split": split and split.value}
        recipe = opened.recipe_of_any_task(recipe_options, values)
        if recipe.task == "next":
            for asked, option in ((by, "--by"), (plot, "--plot")):
                if asked is not None:
                    require_ratings(recipe, option)
            scored = {"runs": tuple(runs or ()), "lm": lm, "zero_shot": zero_shot}
            kept = {"reference": reference, "save": tuple(file.expanduser() for file in save or ())}
            how = {"force": writing.force, "dry_run": writing.dry_run, "encoder": crm}
            _among_candidates(
                opened, recipe_options, values, running, model, {**scored, **kept, **how}
            )
            return
        models = _models(model, crm=crm)
        # Each loaded by itself: a recipe may hold settings of one CRM.
        crms = [opened.recipe(recipe_options, {**values, "crm.model": name}) for name in models]
        if means_all(model):
            crms = _trained(opened, crms)
        if not writing.dry_run:
            for needed in crms or ([recipe] if crm and not lm else []):
                _train(opened, needed, running)
            if lm and not runs and not opened.has_run(recipe):
                _provide(opened, recipe, running, crms=crms, crm=crm, zero_shot=zero_shot)
        result = opened.call(
            "evaluate",
            recipe,
            runs=tuple(runs or ()),
            lm=lm,
            crm=crm,
            crms=tuple(crms),
            zero_shot=zero_shot,
            reference=reference,
            plot=existing(plot),
            save=tuple(file.expanduser() for file in save or ()),
            device=running.device.value,
            force=writing.force,
            dry_run=writing.dry_run,
        )
        if means_all(by):
            shown = [name for name in shown if any(one.by == name for one in result.slices)]
        opened.console.result(result, view.render(result, shown))


def _among_candidates(
    opened: Session,
    recipe_options: RecipeOptions,
    values: dict[str, Any],
    running: RunningOptions,
    model: str | None,
    how: dict[str, Any],
) -> None:
    """Of the task ``next``: who picks what came next."""
    from reclora_cli.cli.render import evaluate_next as view

    names: list[str | None] = [*_models(model, catalog.SEQUENCE_ENCODERS, crm=how["encoder"])]
    each = [
        opened.recipe_of_any_task(recipe_options, {**values, "crm.model": name})
        for name in names or [None]
    ]
    if means_all(model):
        each = _trained(opened, each)
    if not how["dry_run"]:
        alone = how["encoder"] and not (how["lm"] and (how["runs"] or opened.has_run(each[0])))
        for recipe in each if names or alone else ():
            _train(opened, recipe, running)
    result = opened.call(
        "evaluate-next",
        each[0],
        encoders=tuple(each) if names else (),
        device=running.device.value,
        **how,
    )
    opened.console.result(result, view.render(result))


def _models(given: str | None, known: Registry = catalog.CRMS, *, crm: bool) -> list[str]:
    if given is not None and not crm:
        raise UsageError("CRMs are both named and left out", where="--model and --no-crm")
    return chosen_crms(given, known)


def _check_files(plot: Path | None, save: Sequence[Path]) -> None:
    """Refuse files of no known format before a missing CRM is trained for them."""
    from reclora_cli.stages import evaluation_tables
    from reclora_cli.stages.pictures import require_picture

    if plot is not None:
        require_picture(plot)
    for file in save:
        evaluation_tables.check_format(file)


def _break_downs(given: str | None) -> list[str]:
    """The names of ``--by``, each once, in the order of tables."""
    from reclora_cli.stages.break_downs import NAMES

    names = [name.strip() for name in (given or "").split(",") if name.strip()]
    if names == [ALL]:
        return list(NAMES)
    for name in names:
        if name not in NAMES:
            hint = did_you_mean(name, [*NAMES, ALL])
            raise UsageError(f"unknown break-down {name!r}", where="--by", hint=hint)
    return [name for name in NAMES if name in names]


def _trained(opened: Session, recipes: Sequence[Recipe]) -> list[Recipe]:
    """Those whose CRM is up to date; the others are named.

    Raises:
        MissingInputError: there is none.
    """
    from reclora_cli.pipeline import crms

    found = [recipe for recipe in recipes if crms.pending(recipe, opened.workspace) is None]
    if not found:
        raise MissingInputError(
            f"no CRM of {recipes[0].data.source} is trained and up to date under this recipe",
            where=str(opened.workspace.root),
            hint="Run `reclora pretrain-crm --model all` first.",
        )
    without = [recipe.crm.model for recipe in recipes if recipe not in found]
    if without:
        opened.console.say(f"Not trained under this recipe, so left out: {', '.join(without)}.")
    return found


def _train(opened: Session, recipe: Recipe, running: RunningOptions) -> None:
    """Train the recipe's CRM, announced with why, unless it is up to date.

    Raises:
        MissingInputError: it is not, and ``--no-deps`` forbids it.
    """
    from reclora_cli.pipeline import crms

    lack = crms.pending(recipe, opened.workspace)
    if lack is None:
        return
    model = recipe.crm.model
    if running.no_deps and lack.stage == "pretrain-crm":
        raise MissingInputError(
            f"evaluate needs pretrain-crm of {model}, and {lack.why}",
            hint=f"Run `reclora pretrain-crm --model {model}` first.",
        )
    opened.console.say(f"pretrain-crm of {model} runs first: evaluate needs it, and {lack.why}")
    opened.run("pretrain-crm", recipe, running, device=running.device.value)


def _provide(
    opened: Session,
    recipe: Recipe,
    running: RunningOptions,
    *,
    crms: Sequence[Recipe],
    crm: bool,
    zero_shot: bool,
) -> None:
    """See to it that there is something to score, where no finished run will be.

    Cheap stages run unasked; a fine-tuning only when the person agrees.
    """
    from reclora_cli.stages import locate

    if zero_shot:
        adapter = recipe.adapter.model_copy(update={"kind": "none"})
        opened.ensure("evaluate", recipe.model_copy(update={"adapter": adapter}), running)
    elif crms or (crm and locate.crm(recipe, opened.workspace).manifest() is not None):
        opened.console.say("No run is tuned yet: CRMs are scored alone.")
    else:
        opened.require_run(recipe, running)
