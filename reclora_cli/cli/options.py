"""The options that several commands share, and how a command takes a group of them.

A command names the groups it wants as parameters; ``grouped`` turns each into one option per
field, so ``--json`` reads the same everywhere and is described once:

    @grouped
    def show(split: ..., output: OutputOptions, place: PlaceOptions) -> None: ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from reclora_cli.cli.completion import completed
from reclora_cli.errors import UsageError

_OUTPUT = "Output"
_RECIPE = "Recipe"
_RUNNING = "Running"
_TUNING = "Tuning"


class Device(StrEnum):
    """Where tensors live."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Split(StrEnum):
    """A split of the rows."""

    train = "train"
    valid = "valid"
    test = "test"


@dataclass(frozen=True)
class OutputOptions:
    """What is printed, and how."""

    json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=_OUTPUT),
    ] = False
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Only results and errors.", rich_help_panel=_OUTPUT),
    ] = False
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Also what the libraries log.", rich_help_panel=_OUTPUT
        ),
    ] = False
    no_color: Annotated[
        bool,
        typer.Option("--no-color", help="No colour; so does NO_COLOR.", rich_help_panel=_OUTPUT),
    ] = False
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Traceback on errors.", rich_help_panel=_OUTPUT),
    ] = False


@dataclass(frozen=True)
class PlaceOptions:
    """Where artefacts lie."""

    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace",
            "-w",
            metavar="FOLDER",
            help="Default: RECLORA_WORKSPACE, else ./reclora-workspace.",
            rich_help_panel=_RUNNING,
        ),
    ] = None


@dataclass(frozen=True)
class DatasetOptions:
    """Whose runs are looked at, where their own recipes decide all else."""

    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="NAME|FILE",
            help="Default: the recipe of the dataset last prepared.",
            rich_help_panel=_RECIPE,
        ),
    ] = None


@dataclass(frozen=True)
class RecipeOptions(DatasetOptions):
    """Which recipe, and what is laid over it."""

    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any key of the recipe, e.g. gate.temperature=5. Repeatable.",
            rich_help_panel=_RECIPE,
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", min=0, help="Of every random choice.", rich_help_panel=_RECIPE
        ),
    ] = None


@dataclass(frozen=True)
class RunningOptions:
    """How a stage goes about its work."""

    device: Annotated[
        Device,
        typer.Option("--device", help="Where to compute.", rich_help_panel=_RUNNING),
    ] = Device.auto
    no_deps: Annotated[
        bool,
        typer.Option(
            "--no-deps",
            help="Never run missing stages first: name them and stop.",
            rich_help_panel=_RUNNING,
        ),
    ] = False
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Answer yes to every question.", rich_help_panel=_RUNNING),
    ] = False


@dataclass(frozen=True)
class WritingOptions:
    """How a stage that writes an artefact treats the one that is there."""

    force: Annotated[
        bool,
        typer.Option("--force", help="Make it again, up to date or not.", rich_help_panel=_RUNNING),
    ] = False
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what would be done and what it takes.", rich_help_panel=_RUNNING
        ),
    ] = False


class LogFormat(StrEnum):
    """Logs that may stand beside log.jsonl."""

    tensorboard = "tensorboard"


@dataclass(frozen=True)
class LogOptions:
    """What a training writes down besides its own log."""

    log: Annotated[
        LogFormat | None,
        typer.Option(
            "--log",
            help="Beside log.jsonl: scalars by step, for TensorBoard.",
            rich_help_panel=_RUNNING,
        ),
    ] = None

    @property
    def tensorboard(self) -> bool:
        return self.log is LogFormat.tensorboard


@dataclass(frozen=True)
class TuneOptions:
    """A search for a fine-tuning's settings."""

    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Search the paper's grid (or tune.grid) on validation rows; what flags and --set "
            "name is not searched.",
            rich_help_panel=_TUNING,
        ),
    ] = False
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            metavar="N",
            min=1,
            help="Earlier calls' included. Default: 20.",
            rich_help_panel=_TUNING,
        ),
    ] = None
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            metavar="MINUTES",
            min=0.01,
            help="No trial starts after so long.",
            rich_help_panel=_TUNING,
        ),
    ] = None
    valid_rows: Annotated[
        int | None,
        typer.Option(
            "--valid-rows",
            metavar="N",
            min=0,
            help="Validation rows that score a trial, a seeded subset; 0: all. Default: 1000.",
            rich_help_panel=_TUNING,
        ),
    ] = None

    def check(self) -> None:
        """Refuse options that say nothing or say it twice.

        Raises:
            UsageError: they do.
        """
        given = {
            "--trials": self.trials,
            "--budget": self.budget,
            "--valid-rows": self.valid_rows,
        }
        named = [name for name, value in given.items() if value is not None]
        if named and not self.tune:
            raise UsageError("nothing is tuned without --tune", where=named[0], hint="Add --tune.")
        if self.trials is not None and self.budget is not None:
            raise UsageError(
                "how long a search goes on is said twice", where="--trials and --budget"
            )

    def wanted(self) -> dict[str, Any]:
        """As ``tune_lm.run`` takes it."""
        return {"trials": self.trials, "budget_minutes": self.budget}


def grouped(function: Callable[..., None]) -> Callable[..., None]:
    """``function`` as Typer takes it: each parameter of a dataclass type becomes its fields."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {}
    flat: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        if is_dataclass(hint):
            groups[parameter.name] = hint
            flat += _parameters(hint)
        else:
            flat.append(
                parameter.replace(annotation=completed(hint), kind=inspect.Parameter.KEYWORD_ONLY)
            )

    @functools.wraps(function)
    def command(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        function(**given)

    del command.__wrapped__  # Typer would read the grouped signature
    command.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return command


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=completed(hints[field.name]),
        )
        for field in fields(group)
    ]
