"""``reclora explain``: which experts speak for a user or a row, and what the model answers.

``--experts`` describes a run's experts, ``--what-if`` asks it again with one thing changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    from reclora_cli.recipe import Recipe

_ROW = "Name a row: --row 17."
_ONE = "Give one of the two."

EXAMPLE = 'Example: [cyan]reclora explain --user 42 --item "Heat (1995)"[/cyan]'


class AskedSplit(StrEnum):
    """Splits whose rows have candidates."""

    valid = "valid"
    test = "test"


@grouped
def command(
    *,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="ID", help="The user's id as the dataset writes it."),
    ] = None,
    item: Annotated[
        str | None,
        typer.Option(
            "--item", metavar="TITLE|ID", help="Target item. Default: the user's latest row."
        ),
    ] = None,
    row: Annotated[
        int | None,
        typer.Option("--row", metavar="N", help="Task next: a row's number in its split, from 0."),
    ] = None,
    split: Annotated[
        AskedSplit | None,
        typer.Option("--split", help="Task next: the row's split. Default: test; of --user, both."),
    ] = None,
    experts: Annotated[
        bool,
        typer.Option("--experts", help="Describe every expert of the run, without a user."),
    ] = False,
    what_if: Annotated[
        bool,
        typer.Option("--what-if", help="Ask the run again, with one thing changed at a time."),
    ] = False,
    questions: Annotated[
        int | None,
        typer.Option(
            "--questions", metavar="N", help="What-if: changes put to the LLM. Default: 44."
        ),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--change", metavar="FIELD=VALUE", help="What-if: a profile field; may be repeated."
        ),
    ] = None,
    with_history_of: Annotated[
        list[str] | None,
        typer.Option(
            "--with-history-of", metavar="ID", help="What-if: whose history the CRM reads instead."
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Default: the latest finished run with a gate."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="Also draw the gate weights."),
    ] = None,
    dataset: DatasetOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Which experts speak for a user, and P(yes); task next: candidates of a row, ranked."""
    with session(output, place) as opened:
        wanted = WhatIf(questions, change or [], with_history_of or [])
        _check(experts, what_if, wanted, {"--user": user, "--item": item})
        recipe = opened.recipe_of_any_task(RecipeOptions(recipe=dataset.recipe))
        picture = existing(plot)
        if recipe.task == "next":
            _refuse_next(recipe, experts=experts, what_if=what_if)
            if item is not None:
                raise UsageError(
                    "a row of the task next has its own candidates", where="--item", hint=_ROW
                )
            if row is None and user is None:
                row = _asked_row(opened)
            of_row: dict[str, object] = {"row": row, "user": user, "split": split and split.value}
            asked = {**of_row, "run": run, "plot": picture}
            _tell(opened, recipe, running, "explain-next", asked)
            return
        for given, option in ((row, "--row"), (split, "--split")):
            if given is not None:
                raise UsageError(
                    f"only the task next is explained by row, and {recipe.data.source} is of the "
                    f"task {recipe.task}",
                    where=option,
                    hint="Name a user: --user 42, and an item: --item.",
                )
        if experts:
            _tell(opened, recipe, running, "explain-experts", {"run": run, "plot": picture})
            return
        user = user or opened.required("user", "--user", "the user's id, e.g. --user 42")
        asked = {"user": user, "item": item, "run": run, "plot": picture}
        if what_if:
            _tell(opened, recipe, running, "explain-what-if", {**asked, **wanted.given()})
        else:
            _tell(opened, recipe, running, "explain", asked)


@dataclass(frozen=True)
class WhatIf:
    """Options of ``--what-if`` alone."""

    questions: int | None
    change: list[str]
    history_of: list[str]

    def first(self) -> str | None:
        """The first option that is given."""
        given = {
            "--questions": self.questions is not None,
            "--change": bool(self.change),
            "--with-history-of": bool(self.history_of),
        }
        return next((option for option, is_given in given.items() if is_given), None)

    def given(self) -> dict[str, object]:
        """Those that are given, as the stage takes them."""
        own = {name: value for name, value in vars(self).items() if name != "questions"}
        return own if self.questions is None else {**own, "questions": self.questions}


def _check(
    experts: bool, what_if: bool, wanted: WhatIf, one_user: Mapping[str, str | None]
) -> None:
    """Refuse options that do not belong together.

    Raises:
        UsageError: naming the one that is too many.
    """
    if experts:
        for one, given in one_user.items():
            if given is not None:
                raise UsageError(
                    "--experts describes a run's experts over many users",
                    where=one,
                    hint=f"Leave {one} out, or leave --experts out to explain one user.",
                )
        if what_if:
            raise UsageError(
                "--experts and --what-if are two questions", where="--what-if", hint=_ONE
            )
    if not what_if and (option := wanted.first()):
        raise UsageError(f"{option} belongs to --what-if", where=option, hint="Add --what-if.")


def _refuse_next(recipe: Recipe, *, experts: bool, what_if: bool) -> None:
    """Refuse what only a run of ratings tells.

    Raises:
        UsageError: naming the option.
    """
    for option, given in (("--experts", experts), ("--what-if", what_if)):
        if given:
            raise UsageError(
                f"{recipe.data.source} is of the task next, of which explain tells rows alone",
                where=option,
                hint=f"Leave {option} out, or name a dataset of ratings: --recipe ml-1m.",
            )


def _tell(
    opened: Session,
    recipe: Recipe,
    running: RunningOptions,
    stage: str,
    asked: dict[str, object],
) -> None:
    """Print what ``stage`` finds of a run: of the one that is named, or else of the latest."""
    from reclora_cli.cli.render import experts, explain, explain_next, what_if

    views = {
        "explain": explain,
        "explain-experts": experts,
        "explain-next": explain_next,
        "explain-what-if": what_if,
    }
    if asked["run"] is None:
        opened.require_run(recipe, running)
    result = opened.call(stage, recipe, device=running.device.value, **asked)
    opened.console.result(result, views[stage].render(result))


def _asked_row(opened: Session) -> int:
    typed = opened.required("row", "--row", "its number in the split, e.g. --row 17")
    if not typed.strip().isdigit():
        raise UsageError(f"{typed!r} is no row's number", where="--row", hint=_ROW)
    return int(typed)
