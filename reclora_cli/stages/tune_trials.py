"""The trials of a search for a CRM's settings, made one after the other."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager

import optuna

from reclora_cli.errors import RecloraError
from reclora_cli.progress import Progress, Task
from reclora_cli.recipe import Recipe, delta, grids
from reclora_cli.stages import locate, pretrain_crm
from reclora_cli.stages.crm_training import CrmTraining
from reclora_cli.stages.crm_validation import WHOSE
from reclora_cli.stages.tune_search import Search, Wanted
from reclora_cli.stages.tune_study import Asked, Settings, TrialLine, TuningStudy
from reclora_cli.workspace import Artefact, Stopwatch


class Runner:
    """Makes the trials that are missing, one after the other."""

    def __init__(
        self,
        search: Search,
        study: TuningStudy,
        artefact: Artefact,
        inputs: dict[str, str],
        progress: Progress,
        *,
        tensorboard: bool,
    ) -> None:
        self._search, self._study, self._inputs = search, study, inputs
        self._artefact, self._progress = artefact, progress
        self._tensorboard = tensorboard

    def run(self, wanted: Wanted) -> None:
        """Until the search has what is wanted, or tried everything."""
        combinations = grids.combinations(self._search.grid)
        self._progress.say(
            f"{self._search.model}: {combinations:,} combinations in the grid, {wanted.told()}; "
            f"the validation AUC of {WHOSE[self._search.recipe.crm.stop_on]} decides"
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
                f"no trial of {self._search.model} was trained to its end: {why}",
                where="--tune",
                hint="Mend that, and repeat the command with --force.",
            )
        return max(complete, key=lambda line: line.auc or 0.0)

    def install(self, best: TrialLine) -> None:
        """Move the best trial's CRM to where its recipe's CRM lies, unless one lies there."""
        recipe = delta.changed(self._search.recipe, best.settings)
        made, place = self._folder(best.settings), locate.crm(recipe, self._search.workspace)
        fingerprint = locate.fingerprint_of("pretrain-crm", recipe)
        if made.manifest() is not None and place.changes(fingerprint, self._inputs) != []:
            shutil.rmtree(place.path, ignore_errors=True)
            place.path.parent.mkdir(parents=True, exist_ok=True)
            made.path.replace(place.path)
        shutil.rmtree(self._artefact.path / "trials", ignore_errors=True)

    def _try(self, asked: Asked, wanted: Wanted) -> None:
        recipe = delta.changed(self._search.recipe, asked.settings)
        of = f" of {wanted.trials}" if wanted.trials else ""
        quiet = TrialProgress(self._progress, f"trial {asked.number}{of}")
        watch = Stopwatch()
        try:
            self._train(recipe, asked, quiet)
        except optuna.TrialPruned:
            self._study.tell(asked, "pruned", seconds=watch.seconds)
        except (RecloraError, RuntimeError, MemoryError) as error:
            # Diverged, or too large for this machine: the search goes on without it.
            told = error.what if isinstance(error, RecloraError) else f"{error!r:.200}"
            self._study.tell(asked, "failed", seconds=watch.seconds, error=told)
        else:
            self._study.tell(asked, "complete", seconds=watch.seconds)
        self._sweep()

    def _train(self, recipe: Recipe, asked: Asked, progress: Progress) -> None:
        search, place = self._search, self._folder(asked.settings)
        training = CrmTraining(recipe, search.workspace, search.device, place)
        place.path.mkdir(parents=True, exist_ok=True)
        pretrain_crm.make(
            training,
            self._inputs,
            progress,
            tensorboard=self._tensorboard,
            after_pass=asked.after_pass,
        )

    def _folder(self, settings: Settings) -> Artefact:
        recipe = delta.changed(self._search.recipe, settings)
        name = locate.crm(recipe, self._search.workspace).name
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


def overrides(settings: Settings) -> tuple[str, ...]:
    """Settings as ``--set`` takes them, e.g. ``crm.dnn_layers=[64,64]``."""
    return tuple(f"{key}={str(value).replace(' ', '')}" for key, value in settings.items())
