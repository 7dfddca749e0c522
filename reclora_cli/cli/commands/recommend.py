"""``reclora recommend``: what a user, or somebody new, may like among what they have not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reclora_cli.cli.options import (
    DatasetOptions,
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    grouped,
)
from reclora_cli.cli.session import Session, existing, session
from reclora_cli.errors import UsageError

if TYPE_CHECKING:
    from reclora_cli.data.rated import Rated
    from reclora_cli.recipe import Recipe
    from reclora_cli.stages.recommend import History

EXAMPLE = "Example: [cyan]reclora recommend --user 42 --top 10[/cyan]"

_NEW = "Somebody new"
_CANDIDATES = "Candidates"


class By(StrEnum):
    """What chooses candidates."""

    crm = "crm"
    similar = "similar"


@grouped
def command(
    *,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="ID", help="The user's id as the dataset writes it."),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=1, help="How many to recommend.")
    ] = 10,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Default: the latest finished run with a gate."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Also write the table: .csv, .md or .tex."),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            "--history",
            metavar="FILE.jsonl",
            help='Lines such as {"item": "Heat (1995)", "rating": 4}; a time may stand beside.',
            rich_help_panel=_NEW,
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME=VALUE[,...]",
            help="As in gender=F,age=25. What is not said is unknown.",
            rich_help_panel=_NEW,
        ),
    ] = None,
    genres: Annotated[
        list[str] | None,
        typer.Option(
            "--genre", metavar="NAME", help="Only these. Repeatable.", rich_help_panel=_CANDIDATES
        ),
    ] = None,
    from_candidates: Annotated[
        Path | None,
        typer.Option(
            "--from-candidates",
            metavar="FILE",
            help="Only these: a title or an id a line.",
            rich_help_panel=_CANDIDATES,
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates",
            metavar="N",
            min=1,
            help="How many of the best the LLM is asked about.",
            show_default="64",
            rich_help_panel=_CANDIDATES,
        ),
    ] = None,
    by: Annotated[
        By | None,
        typer.Option(
            "--by",
            help="What they are chosen by: the CRM, or likeness to what the user liked.",
            show_default="crm, if one is trained",
            rich_help_panel=_CANDIDATES,
        ),
    ] = None,
    dataset: DatasetOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """What a user may like, or somebody new.

    The CRM chooses among all that is not seen; the run's LLM orders the best.
    On a terminal, without --user and --history, you search titles and rate them.
    """
    with session(output, place) as opened:
        from reclora_cli.cli.render import recommend as view

        said = _profile(profile)
        recipe = opened.recipe(RecipeOptions(recipe=dataset.recipe))
        if run is None:
            opened.require_run(recipe, running)
        rated: History | None = existing(history)
        if user is None and rated is None:
            rated = _asking(opened, recipe)
        options = {} if candidates is None else {"candidates": candidates}
        result = opened.call(
            "recommend",
            recipe,
            user=user,
            history=rated,
            profile=said,
            top=top,
            by=by and by.value,
            genres=tuple(genres or ()),
            from_candidates=existing(from_candidates),
            run=run,
            save=existing(save),
            device=running.device.value,
            **options,
        )
        opened.console.result(result, view.render(result))


def _profile(given: str | None) -> dict[str, str]:
    """``gender=F,age=25`` as name -> value."""
    found = {}
    for part in _parts(given or ""):
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(
                f"{part!r} is no NAME=VALUE", where="--profile", hint="As in gender=F,age=25."
            )
        if name.strip() in found:
            raise UsageError(f"{name.strip()} is told twice", where="--profile")
        found[name.strip()] = value.strip()
    return found


def _parts(given: str) -> Sequence[str]:
    return [part for part in given.split(",") if part.strip()]


def _asking(opened: Session, recipe: Recipe) -> Callable[[], list[Rated]]:
    """Who asks the person at the terminal for ratings.

    Raises:
        UsageError: nobody is there to be asked.
    """
    if not opened.console.interactive:
        raise UsageError(
            "whom to recommend to?",
            where="--user",
            hint="Give the user's id, e.g. --user 42, or --history FILE of somebody new.",
        )
    from reclora_cli.cli import pick
    from reclora_cli.stages import locate

    artefact = locate.store(recipe, opened.workspace)
    locate.require(artefact, "prepared dataset", locate.prepare_command(recipe))
    return lambda: pick.rated_titles(opened.console, artefact.path)
