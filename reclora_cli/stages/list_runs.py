"""``reclora runs ls``: every run of a workspace, finished or not, and what it is known to reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from reclora_cli.errors import RecloraError, UsageError, did_you_mean
from reclora_cli.metrics.compare import Figure
from reclora_cli.recipe import Recipe
from reclora_cli.stages import kept_evaluations, kept_next_evaluations, locate, runs
from reclora_cli.stages.kept_evaluations import KeptEvaluation
from reclora_cli.stages.kept_next_evaluations import KeptNextEvaluation
from reclora_cli.workspace import MANIFEST, Artefact, Manifest, Workspace

FINISHED, UNFINISHED, UNREADABLE = "finished", "unfinished", "unreadable"


@dataclass(frozen=True)
class KeptAuc:
    """The AUC of a run's last kept evaluation on test rows.

    Attributes:
        rows: rows scored; a ``subset`` of the split when not all.
    """

    auc: Figure
    rows: int
    subset: bool
    rows_hash: str


@dataclass(frozen=True)
class KeptHitRatio:
    """HR@1, by likelihood, of a run's last kept evaluation on test rows of the task ``next``.

    Attributes:
        rows: rows scored; a ``subset`` of the split when not all.
    """

    hit_ratio: Figure
    rows: int
    subset: bool
    rows_hash: str


@dataclass(frozen=True)
class RunLine:
    """One run.

    Attributes:
        state: ``finished``, ``unfinished`` or ``unreadable`` (recipe or manifest is damaged).
        step: optimizer steps it has behind it: all, or those of its last checkpoint.
        method, shots, seed, lm: ``None`` where the recipe cannot be read.
        written: when it was finished, ISO 8601; empty otherwise.
        seconds: that its tuning took; ``None`` while it is unfinished.
        test: ``None`` where this very run was never evaluated on test rows, or was tuned again
            since; ``next_test`` the same of runs of the task ``next``.
        task: ``None`` where the recipe cannot be read.
    """

    name: str
    dataset: str
    state: str
    step: int
    method: str | None
    shots: int | None
    seed: int | None
    lm: str | None
    written: str
    seconds: float | None
    test: KeptAuc | None
    task: str | None = "rate"
    next_test: KeptHitRatio | None = None


@dataclass(frozen=True)
class RunsList:
    """Runs dataset by dataset, the newest last."""

    workspace: str
    runs: list[RunLine]


def run(workspace: Workspace, dataset: str | None = None) -> RunsList:
    """All runs of the workspace, or of one dataset.

    Raises:
        UsageError: no such dataset is here.
    """
    datasets = runs.datasets(workspace)
    if dataset is not None and dataset not in {*datasets, *workspace.datasets()}:
        raise UsageError(
            f"no dataset {dataset!r} here", where="--dataset", hint=did_you_mean(dataset, datasets)
        )
    wanted = datasets if dataset is None else [dataset]
    return RunsList(str(workspace.root), [line for name in wanted for line in of(workspace, name)])


def of(workspace: Workspace, dataset: str) -> list[RunLine]:
    """The runs of one dataset, the newest last."""
    kept = kept_evaluations.read_all(workspace, dataset).evaluations
    kept_next = kept_next_evaluations.read_all(workspace, dataset).evaluations
    artefacts = workspace.artefacts(dataset, "runs")
    return [line(artefact, dataset, kept, kept_next) for artefact in artefacts]


def line(
    artefact: Artefact,
    dataset: str,
    kept: list[KeptEvaluation],
    kept_next: Sequence[KeptNextEvaluation] = (),
) -> RunLine:
    """What is known of one run; a damaged one is told as such, not raised."""
    recipe, manifest, state = opened(artefact)
    return RunLine(
        name=artefact.name,
        dataset=dataset,
        state=state,
        step=manifest.figures.get("steps", 0) if manifest else runs.step_reached(artefact),
        method=locate.method_name(recipe) if recipe else None,
        shots=recipe.finetune.shots if recipe else None,
        seed=recipe.seed if recipe else None,
        lm=recipe.lm.name if recipe else None,
        written=manifest.written if manifest else "",
        seconds=manifest.seconds if manifest else None,
        test=last_known(artefact, kept) if manifest else None,
        task=recipe.task if recipe else None,
        next_test=last_known_next(artefact, kept_next) if manifest else None,
    )


def opened(artefact: Artefact) -> tuple[Recipe | None, Manifest | None, str]:
    """A run's recipe and manifest as far as they can be read, and its state."""
    try:
        manifest = artefact.manifest()
    except RecloraError:
        return None, None, UNREADABLE
    file = artefact.path / runs.RECIPE_FILE
    if manifest is None and not file.is_file():
        return None, None, UNFINISHED  # Killed before its recipe was written.
    try:
        recipe = runs.recipe_of(artefact)
    except (RecloraError, OSError, UnicodeDecodeError):
        return None, manifest, UNREADABLE
    return recipe, manifest, FINISHED if manifest else UNFINISHED


def last_known(artefact: Artefact, kept: list[KeptEvaluation]) -> KeptAuc | None:
    """The AUC of the newest evaluation of this very run on test rows."""
    found = _newest(artefact, kept)
    if found is None:
        return None
    one, figures = found
    return KeptAuc(figures["auc"], one.rows, one.subset, one.rows_hash)


def last_known_next(artefact: Artefact, kept: Sequence[KeptNextEvaluation]) -> KeptHitRatio | None:
    """HR@1 of the newest evaluation of this very run on test rows of the task ``next``."""
    found = _newest(artefact, kept)
    if found is None or "hit_ratio@1" not in found[1]:
        return None
    one, figures = found
    return KeptHitRatio(figures["hit_ratio@1"], one.rows, one.subset, one.rows_hash)


Kept = TypeVar("Kept", KeptEvaluation, KeptNextEvaluation)


def _newest(artefact: Artefact, kept: Sequence[Kept]) -> tuple[Kept, dict[str, Figure]] | None:
    """The newest evaluation of this very run on test rows, and the run's figures in it."""
    if not (artefact.path / MANIFEST).is_file():
        return None
    identity = artefact.identity()
    for evaluation in reversed(kept):
        for model in evaluation.models:
            known = (model.name, model.identity)
            if evaluation.split == "test" and known == (artefact.name, identity):
                return evaluation, model.figures
    return None
