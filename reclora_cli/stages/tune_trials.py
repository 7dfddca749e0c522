"""The trials of a search for settings, made one after the other."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path

import optuna

from reclora_cli import recipe as recipes
from reclora_cli.errors import RecloraError
from reclora_cli.progress import Progress, Task
from reclora_cli.recipe import Recipe, delta, grids
from reclora_cli.stages.crm_validation import WHOSE
from reclora_cli.stages.tune_search import Search, Wanted
from reclora_cli.stages.tune_study import Asked, Settings, TrialLine, TuningStudy
from reclora_cli.workspace import Artefact, Stopwatch, write_text


class Runner:
    """Makes the trials that are missing, one after the other."""

    def __init__(
        self,
        search: Search,
        study: TuningStudy,
        artefact: Artefact,
        progress: Progress,
        *,
        tensorboard: bool,
    ) -> None:
        self._search, self._study = search, study
        self._artefact, self._progress = artefact, progress
        self._tensorboard = tensorboard

    def run(self, wanted: Wanted) -> None:
        """Until the search has what is wanted, or tried everything."""
        combinations = grids.combinations(self._search.grid)
        self._progress.say(
            f"{self._search.name}: {combinations:,} combinations in the grid, {wanted.told()}; "
            f"the validation AUC of {WHOSE[self._search.decides]} decides"
        )
        while not wanted.satisfied(self._study.lines()):
            asked = self._study.ask()
            if asked is None:
                self._progress.say("every combination of the grid has been tried")
                return
            self._artefact.unfinish()
            self._try(asked, wanted)
            self._tell_of(self._study.lines()[-1])

    def best(self) -> TrialLine:
        """The complete trial of the highest AUC, the earlier of equals.

        Raises:
            RecloraError: there is none.
        """
        lines = self._study.lines()
        complete = [line for line in lines if line.state == "complete"]
        if not complete:
            why = next((line.error for line in reversed(lines) if line.error), "none was made")
            raise RecloraError(
                f"no trial of {self._search.name} was trained to its end: {why}",
                where="--tune",
                hint="Mend that, and repeat the command with --force.",
            )
        return max(complete, key=lambda line: line.auc or 0.0)

    def install(self, best: TrialLine) -> None:
        """Move what the best trial trained to where its recipe's lies, unless it lies there."""
        recipe = self._search.changed(best.settings)
        made, place = self._folder(best.settings), self._search.place(recipe)
        known = self._search.fingerprint(recipe), self._search.inputs(recipe)
        if made.manifest() is not None and place.changes(*known) != []:
            shutil.rmtree(place.path, ignore_errors=True)
            place.path.parent.mkdir(parents=True, exist_ok=True)
            made.path.replace(place.path)
        shutil.rmtree(self._artefact.path / "trials", ignore_errors=True)

    def _try(self, asked: Asked, wanted: Wanted) -> None:
        of = f" of {wanted.trials}" if wanted.trials else ""
        quiet = TrialProgress(self._progress, f"trial {asked.number}{of}")
        watch = Stopwatch()
        try:
            self._train(asked, quiet)
        except optuna.TrialPruned:
            self._study.tell(asked, "pruned", seconds=watch.seconds)
        except (RecloraError, RuntimeError, MemoryError) as error:
            # Diverged, or too large for this machine: the search goes on without it.
            told = error.what if isinstance(error, RecloraError) else f"{error!r:.200}"
            self._study.tell(asked, "failed", seconds=watch.seconds, error=told)
        else:
            self._study.tell(asked, "complete", seconds=watch.seconds)
        self._sweep()

    def _train(self, asked: Asked, progress: Progress) -> None:
        self._search.train(
            self._search.changed(asked.settings),
            self._folder(asked.settings),
            asked,
            progress,
            tensorboard=self._tensorboard,
        )

    def _folder(self, settings: Settings) -> Artefact:
        name = self._search.place(self._search.changed(settings)).name
        return Artefact(self._artefact.path / "trials" / name)

    def _sweep(self) -> None:
        """Remove the weights of every trial but the best."""
        complete = [line for line in self._study.lines() if line.state == "complete"]
        kept = {self._folder(self.best().settings).path} if complete else set()
        for folder in (self._artefact.path / "trials").glob("*"):
            if folder not in kept:
                shutil.rmtree(folder)

    def _tell_of(self, line: TrialLine) -> None:
        complete = [found for found in self._study.lines() if found.state == "complete"]
        found = "no figure" if line.auc is None else f"AUC {line.auc:.4f}"
        ended = {"complete": "", "pruned": ", pruned", "failed": f", failed: {line.error}"}
        best = f"; best {self.best().auc:.4f}, trial {self.best().number}" if complete else ""
        self._progress.say(
            f"trial {line.number}: {found}{ended[line.state]}, {line.seconds:.0f} s{best} "
            f"({' '.join(overrides(line.settings))})"
        )


class TrialProgress:
    """A trial's progress: its bar under the trial's name, and warnings, but no lines of its own."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._title = title

    def task(
        self, title: str, total: int | None = None, unit: str = ""
    ) -> AbstractContextManager[Task]:
        return self._progress.task(f"{self._title}: {title}", total, unit)

    def say(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        self._progress.warn(message)


def searched(
    search: Search,
    wanted: Wanted,
    artefact: Artefact,
    progress: Progress,
    *,
    force: bool,
    tensorboard: bool,
) -> tuple[list[TrialLine], TrialLine, bool]:
    """Make the trials that are missing, and put what the best one trained in its place.

    Args:
        artefact: of the search; ``force`` empties it first.

    Returns:
        every trial that ended, the best of them, and whether none was missing.

    Raises:
        RecloraError: no trial could be trained to its end.
    """
    with search.workspace.writing():
        if force:
            shutil.rmtree(artefact.path, ignore_errors=True)
        study = search.study(artefact)
        before = len(study.lines())
        runner = Runner(search, study, artefact, progress, tensorboard=tensorboard)
        runner.run(wanted)
        best = runner.best()
        runner.install(best)
        lines = study.lines()
    return lines, best, len(lines) == before


def written(chosen: Recipe, file: Path, comment: str) -> None:
    """Write the chosen settings as a recipe that extends the dataset's."""
    source = chosen.data.source
    extends = source if source in recipes.names() else "base"
    write_text(file, delta.delta_yaml(chosen, extends, comment))
    assert recipes.load(file) == chosen, "the written recipe must be the chosen one"


def overrides(settings: Settings) -> tuple[str, ...]:
    """Settings as ``--set`` takes them, e.g. ``crm.dnn_layers=[64,64]``."""
    return tuple(f"{key}={str(value).replace(' ', '')}" for key, value in settings.items())
