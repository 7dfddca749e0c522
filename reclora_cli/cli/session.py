"""What a command holds while it runs: console, workspace, recipe, and the way to a stage."""

from __future__ import annotations

import json
import logging
import os
import signal
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reclora_cli import catalog, processes
from reclora_cli.cli import ask
from reclora_cli.cli.console import Console
from reclora_cli.cli.errors import explained
from reclora_cli.cli.options import OutputOptions, PlaceOptions, RecipeOptions, RunningOptions
from reclora_cli.cli.recipe_checks import check_method, check_names
from reclora_cli.errors import MissingInputError, UsageError

if TYPE_CHECKING:
    from reclora_cli.data.download import Confirm
    from reclora_cli.recipe import Recipe
    from reclora_cli.workspace import Workspace


WITH_SEVERAL_PROCESSES = {"pretrain-crm", "finetune", "evaluate"}
"""Stages that ``torchrun`` or ``accelerate launch`` may run in several processes."""


@contextmanager
def session(output: OutputOptions, place: PlaceOptions) -> Iterator[Session]:
    """Open the workspace and run a command's body; errors are rendered on the way out."""
    console = Console(**asdict(output))
    if not processes.started().alone:
        # How a launcher ends the others when one has failed: they keep what they have and say so.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _hushed_libraries(console), explained(console):
        from reclora_cli.workspace import Workspace

        yield Session(console, Workspace.find(place.workspace))


class Session:
    """One command's view of the world."""

    def __init__(self, console: Console, workspace: Workspace) -> None:
        self.console = console
        self.workspace = workspace

    @cached_property
    def last_prepared(self) -> str:
        """The dataset last prepared, or chosen by the person; told and asked once.

        Raises:
            MissingInputError: there is none, and nobody to ask.
        """
        datasets = self.workspace.datasets()
        if datasets:
            self.console.say(f"Dataset: {datasets[-1]}, the last prepared.")
            return datasets[-1]
        if self.console.interactive:
            self.console.say("Nothing is prepared in this workspace yet.")
            return ask.choice(self.console, "Dataset", list(catalog.DATASETS))
        raise MissingInputError(
            "no dataset is prepared here",
            where=str(self.workspace.root),
            hint="Run `reclora prepare ml-1m` first, or name a recipe: --recipe ml-1m.",
        )

    def recipe(
        self,
        options: RecipeOptions,
        values: Mapping[str, Any] | None = None,
        *,
        llm: str | None = None,
        preset: str | None = None,
        method: str | None = None,
    ) -> Recipe:
        """``recipe_of_any_task``, for commands that know the task ``rate`` alone.

        Raises:
            MissingInputError, UsageError: as there; or the recipe is of the task ``next``.
        """
        loaded = self.recipe_of_any_task(options, values, llm=llm, preset=preset, method=method)
        require_ratings(loaded, "this command")
        return loaded

    def recipe_of_any_task(
        self,
        options: RecipeOptions,
        values: Mapping[str, Any] | None = None,
        *,
        llm: str | None = None,
        preset: str | None = None,
        method: str | None = None,
    ) -> Recipe:
        """The recipe of ``--recipe``, else of the dataset last prepared.

        Args:
            options: the recipe options as given.
            values: recipe key -> value of the command's own flags; ``None`` is not given.
            llm: a shipped LM laid over the recipe, or what ``lm.name`` takes.
            preset, method: shipped ones laid over the recipe.

        Raises:
            MissingInputError: nothing is prepared and none is named.
            UsageError: an unknown name, key or value, or a dataset of another task.
        """
        return self.traced_recipe(options, values, llm=llm, preset=preset, method=method)[0]

    def traced_recipe(
        self,
        options: RecipeOptions,
        values: Mapping[str, Any] | None = None,
        *,
        llm: str | None = None,
        preset: str | None = None,
        method: str | None = None,
    ) -> tuple[Recipe, dict[str, str]]:
        """As ``recipe_of_any_task``; and of each key, by its dotted path, the layer that set it."""
        from reclora_cli import recipe
        from reclora_cli.stages.own_recipe import kept_recipe

        name = options.recipe
        prepared: list[str] = []
        if name is None:
            dataset = self.last_prepared
            own = kept_recipe(self.workspace, dataset)
            name = str(own) if own else dataset
            prepared = [] if own else self._as_prepared(dataset)
        layers: dict[str, Any] = {
            "llm": llm,
            "preset": preset,
            "prepared": prepared,
            "overrides": options.overrides or (),
            "values": {**(values or {}), "seed": options.seed},
        }
        loaded, origins = recipe.load_traced(name, method=method, **layers)
        if method is not None:
            check_method(method, loaded, recipe.load_traced(name, **layers)[0])
        check_names(loaded)
        return loaded, origins

    def has_run(self, recipe: Recipe) -> bool:
        """Whether the recipe's dataset has a finished run."""
        from reclora_cli.stages import runs

        return bool(runs.finished(self.workspace, recipe.data.source, recipe.task))

    def require_run(self, recipe: Recipe, running: RunningOptions) -> None:
        """Tune a run of the recipe's dataset if there is none and the person agrees.

        Raises:
            MissingInputError: there is none, and nobody agreed.
        """
        from reclora_cli.stages import runs

        if self.has_run(recipe):
            return
        person = self.person(yes=running.yes)
        if person and person("No run is tuned yet. Tune one now?"):
            self.run("finetune", recipe, running, device=running.device.value)
            return
        runs.choose(self.workspace, recipe.data.source, None, recipe.task)

    def person(self, *, yes: bool) -> Confirm | None:
        """Who answers yes-or-no questions: ``--yes``, the person at the terminal, or nobody."""
        if yes:
            return self._say_yes
        if self.console.interactive:
            return lambda question: ask.yes(self.console, question)
        return None

    def call(self, stage: str, recipe: Recipe, **options: Any) -> Any:
        """The result of ``stage`` as things stand; it says itself what it misses."""
        if stage not in WITH_SEVERAL_PROCESSES:
            processes.require_alone()
        return catalog.STAGES.load(stage)(recipe, self.workspace, self.console.progress, **options)

    def ensure(self, stage: str, recipe: Recipe, running: RunningOptions) -> None:
        """Run the cheap stages that ``stage`` misses."""
        from reclora_cli.pipeline import graph

        graph.ensure(
            stage,
            recipe,
            self.workspace,
            self.console.progress,
            no_deps=running.no_deps or not processes.started().alone,
            confirm=self.person(yes=running.yes),
            device=running.device.value,
        )

    def run(self, stage: str, recipe: Recipe, running: RunningOptions, **options: Any) -> Any:
        """The result of ``stage``, after the cheap stages it misses."""
        if stage not in WITH_SEVERAL_PROCESSES:
            processes.require_alone()
        if not options.get("dry_run"):
            self.ensure(stage, recipe, running)
        return self.call(stage, recipe, **options)

    def required(self, what: str, option: str, meaning: str, *, default: str | None = None) -> str:
        """``what`` as a person types it.

        Args:
            default: what Enter takes.

        Raises:
            UsageError: nobody is there to be asked.
        """
        if not self.console.interactive:
            raise UsageError(f"which {what}?", where=option, hint=f"Give {meaning}.")
        return ask.text(what.capitalize(), default)

    def _say_yes(self, question: str) -> bool:
        self.console.say(f"{question} Yes, as --yes says.")
        return True

    def _as_prepared(self, dataset: str) -> list[str]:
        """The sections it was prepared under, as overrides: so it is not made anew."""
        manifest = self.workspace.store(dataset).manifest()
        if manifest:
            return [f"data={json.dumps(manifest.recipe['data'])}"]
        manifest = self.workspace.sequences(dataset).manifest()
        own = manifest.recipe["next"] if manifest else {}
        return [f"next.{key}={json.dumps(value)}" for key, value in own.items()]


def require_ratings(recipe: Recipe, what: str) -> None:
    """Refuse sequences where ``what`` knows the task ``rate`` alone.

    Raises:
        UsageError: the recipe is of the task ``next``.
    """
    if recipe.task != "rate":
        raise UsageError(
            f"{recipe.data.source} is of the task {recipe.task}, which {what} does not know",
            where="task",
            hint="Name a dataset of ratings: --recipe ml-1m.",
        )


def existing(path: Path | None) -> Path | None:
    """``path`` with ``~`` written out."""
    return path.expanduser() if path else None


@contextmanager
def _hushed_libraries(console: Console) -> Iterator[None]:
    """Keep what libraries log and warn of from the screen, unless ``--verbose`` asks for it."""
    # Read when the libraries are imported, which happens later, inside the stages.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if console.verbose:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
        yield
        return
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    below = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(below)
