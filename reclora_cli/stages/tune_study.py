"""The search for settings, kept by Optuna in a journal beside the trials.

A proposal is a function of the seed, of how many trials are done, and of what they found: the
sampler is seeded anew for each. So a search that was killed and repeated proposes what it would
have proposed; the trial that was under way is proposed again, and its training goes on.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from reclora_cli.recipe.grids import Grid
from reclora_cli.seeding import numpy_stream, stream_seed
from reclora_cli.stages.crm_validation import Pass

JOURNAL = "study.journal"
Settings = dict[str, Any]

Kept = Literal["best", "last"]
"""Which validation pass a trial is judged by: the one whose weights it keeps."""

_RANDOM_FIRST = 8
"""Trials drawn at random before the sampler (TPE) learns from them."""

_UNPRUNED_FIRST = 3
"""Finished trials whose median the pruner needs."""


@dataclass(frozen=True)
class TrialLine:
    """One trial.

    Attributes:
        number: from 1, in the order tried.
        state: ``complete``, ``pruned`` (worse than the median at a validation pass) or ``failed``.
        settings: key of the recipe -> value.
        auc: what decided, at the pass that counts (a CRM's best, a run's last); of a pruned
            trial, of the passes it had.
        validation: n, auc and log_loss at that pass by user group.
        seconds: of this trial's last process.
        error: why it failed.
    """

    number: int
    state: str
    settings: Settings
    auc: float | None
    best_step: int | None
    validation: dict[str, dict[str, Any]] | None
    seconds: float
    error: str | None


class TuningStudy:
    """Trials of one search, told to and asked from Optuna. The caller is its only writer.

    Args:
        folder: holds the journal.
        grid: key of the recipe -> its values.
        own: the recipe's settings: tried first, where the grid has them.
        decides: user group whose AUC is maximised.
        seed: of every proposal.
        kept: which pass counts.
    """

    def __init__(
        self,
        folder: Path,
        grid: Grid,
        own: Settings,
        decides: str,
        seed: int,
        kept: Kept = "best",
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # It would print each trial itself.
        self._choices = {key: [_text(value) for value in grid[key]] for key in grid}
        self._own = {key: _text(own[key]) for key in grid}
        self._decides, self._seed, self._kept = decides, seed, kept
        folder.mkdir(parents=True, exist_ok=True)
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(_mended(folder / JOURNAL)))),
            study_name="tuning",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(_UNPRUNED_FIRST),
        )
        self._drop_interrupted()

    def ask(self) -> Asked | None:
        """The next settings to try, none twice; ``None`` when every combination was."""
        number = len(self._told())
        self._study.sampler = optuna.samplers.TPESampler(
            seed=stream_seed(self._seed, "tune", number) % 2**32, n_startup_trials=_RANDOM_FIRST
        )
        known = [trial.params for trial in self._told()]
        in_grid = all(self._own[key] in texts for key, texts in self._choices.items())
        trial = self._draw(self._own if in_grid and not known else None)
        if trial.params in known:  # A small grid, or a sampler that is sure of itself.
            self._study.tell(trial, state=TrialState.FAIL)
            left = self._untried(known, number)
            if left is None:
                return None
            trial = self._draw(left)
        return Asked(trial, number + 1, self._decides, self._kept)

    def tell(self, asked: Asked, state: str, *, seconds: float, error: str | None = None) -> None:
        """How a trial ended: ``complete``, ``pruned`` or ``failed`` with its ``error``."""
        trial, best = asked.trial, asked.best
        trial.set_user_attr("seconds", seconds)
        trial.set_user_attr("best", best)
        if state == "failed":
            trial.set_user_attr("error", error or "unknown")
        value = best[self._decides]["auc"] if best and state == "complete" else None
        self._study.tell(trial, value, state=_STATES[state])

    def lines(self) -> list[TrialLine]:
        """Every trial that ended, in the order tried."""
        return [self._line(at, trial) for at, trial in enumerate(self._told(), start=1)]

    def _told(self) -> list[FrozenTrial]:
        """Trials that ended by themselves: an interrupted one has failed without an error."""
        return [
            trial
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state in {TrialState.COMPLETE, TrialState.PRUNED}
            or "error" in trial.user_attrs
        ]

    def _drop_interrupted(self) -> None:
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
        while self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.tell(self._study.ask(), state=TrialState.FAIL)

    def _draw(self, fixed: Mapping[str, str] | None) -> Trial:
        if fixed is not None:
            self._study.enqueue_trial(dict(fixed))
        trial = self._study.ask()
        for key, texts in self._choices.items():
            trial.suggest_categorical(key, texts)
        return trial

    def _untried(self, known: Sequence[Mapping[str, str]], number: int) -> Settings | None:
        keys = list(self._choices)
        tried = {tuple(params[key] for key in keys) for params in known}
        left = [texts for texts in itertools.product(*self._choices.values()) if texts not in tried]
        if not left:
            return None
        at = int(numpy_stream(self._seed, "tune untried", number).integers(len(left)))
        return dict(zip(keys, left[at], strict=True))

    def _line(self, number: int, trial: FrozenTrial) -> TrialLine:
        best = trial.user_attrs.get("best")
        error = trial.user_attrs.get("error")
        state = "failed" if error else trial.state.name.lower()
        return TrialLine(
            number=number,
            state=state,
            settings={key: json.loads(text) for key, text in trial.params.items()},
            auc=best[self._decides]["auc"] if best else None,
            best_step=best["step"] if best else None,
            validation={k: v for k, v in best.items() if k != "step"} if best else None,
            seconds=trial.user_attrs["seconds"],
            error=error,
        )


class Asked:
    """A trial under way: what to try, and whether it is worth going on.

    Attributes:
        number: from 1, among the trials that ended.
        settings: key of the recipe -> value.
        best: the validation pass that counts so far.
    """

    def __init__(self, trial: Trial, number: int, decides: str, kept: Kept) -> None:
        self.trial = trial
        self.number = number
        self.settings: Settings = {key: json.loads(text) for key, text in trial.params.items()}
        self.best: Pass | None = None
        self._decides, self._kept = decides, kept
        self._reported = 0

    def after_pass(self, passes: list[Pass]) -> None:
        """Report validation passes, those before an interruption too.

        Raises:
            optuna.TrialPruned: at this pass it is worse than the median of the trials before.
        """
        judged = passes if self._kept == "best" else passes[-1:]
        self.best = max(judged, key=lambda found: found[self._decides]["auc"])
        for at in range(self._reported, len(passes)):
            self.trial.report(passes[at][self._decides]["auc"], step=at + 1)
        self._reported = len(passes)
        if self.trial.should_prune():
            raise optuna.TrialPruned


_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def _text(value: Any) -> str:
    """A value as Optuna's categories take it, and ``--set`` too."""
    return json.dumps(value)


def _mended(journal: Path) -> Path:
    """The journal without what a killed process left: half a line, and its lock."""
    Path(f"{journal}.lock").unlink(missing_ok=True)
    if journal.is_file():
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with journal.open("r+b") as file:
                file.truncate(whole)
    return journal
