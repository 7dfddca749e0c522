"""``reclora finetune --tune``: the paper's grid of one method, searched on validation rows.

    datasets/<dataset>/tune/<method>-<fingerprint>/
        study.journal         every trial, as Optuna keeps it
        trials/<run>/         the trial under way, and the best one
        tuned-<method>.yaml   the chosen settings, for --recipe

A trial is an ordinary recipe with other settings, tuned as ``finetune`` tunes it and judged by the
validation AUC of its last step, whose weights a run keeps. The best one is moved to where that
recipe's run lies. Test rows are not scored here; of them only whose they are is read, for
``as-test``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe, grids
from reclora_cli.scoring.kept_scores import rows_hash
from reclora_cli.stages import finetune
from reclora_cli.stages.crm_validation import WHOSE
from reclora_cli.stages.tune_lm_search import LmSearch
from reclora_cli.stages.tune_search import TunePlan, Wanted
from reclora_cli.stages.tune_study import TrialLine
from reclora_cli.stages.tune_trials import overrides, searched, written
from reclora_cli.training.tensorboard import require_tensorboard
from reclora_cli.workspace import Artefact, Manifest, Stopwatch, Workspace


@dataclass(frozen=True)
class TunedLm:
    """What a search found, or (``dry_run``) would take.

    Attributes:
        rows: validation rows that scored each trial, of ``valid_rows``; ``rows_hash`` tells which.
        decides: whose AUC was maximised (``tune.decides``).
        unseen_share_of_test: weight of unseen users in ``as-test``.
        grid: key of the recipe -> values searched; ``combinations`` of them in all.
        grid_source: the paper's, or the recipe's own.
        trials: every trial that ended, in the order tried.
        best: the one that was kept.
        overrides: its settings as ``--set`` takes them.
        recipe_file: a recipe of its settings, for ``--recipe``.
        run: its run, as ``--run`` takes it, in ``artefact``.
        up_to_date: no trial was missing.
    """

    method: str
    dataset: str
    shots: int
    rows: int
    valid_rows: int
    rows_hash: str
    decides: str
    unseen_share_of_test: float
    grid: dict[str, list[Any]]
    grid_source: str
    combinations: int
    trials: list[TrialLine]
    best: TrialLine | None = None
    overrides: tuple[str, ...] = ()
    recipe_file: str | None = None
    run: str | None = None
    artefact: str | None = None
    seconds: float = 0.0
    up_to_date: bool = False
    dry_run: bool = False
    plan: TunePlan | None = None


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    trials: int | None = None,
    budget_minutes: float | None = None,
    held: Collection[str] = (),
    device: str = "auto",
    force: bool = False,
    dry_run: bool = False,
    tensorboard: bool = False,
) -> TunedLm:
    """Search the grid of the recipe's method; called again, it goes on where it stood.

    Args:
        trials: how many in all, those of earlier calls included.
        budget_minutes: no trial starts once those so far took so long; instead of ``trials``.
        held: keys of the recipe that are not searched.
        force: forget earlier trials.

    Raises:
        UsageError: the recipe tunes nothing, or all of its grid is held.
        MissingInputError: the dataset, the index or the CRM that it reads is missing.
        RecloraError: no trial could be tuned to its end.
    """
    if tensorboard:
        require_tensorboard()
    search = LmSearch(recipe, workspace, devices.pick(device), held, progress)
    wanted = Wanted.of(trials, budget_minutes)
    if dry_run:
        return replace(_described(search), dry_run=True, plan=search.plan(wanted))
    watch = Stopwatch()
    inputs = search.inputs(recipe)
    artefact = search.artefact(inputs)
    lines, best, complete = searched(
        search, wanted, artefact, progress, force=force, tensorboard=tensorboard
    )
    # Tunes it again if somebody removed it; otherwise it is told again.
    chosen = search.changed(best.settings)
    kept = finetune.run(chosen, workspace, progress, device=device, tensorboard=tensorboard)
    result = replace(
        _described(search),
        trials=lines,
        best=best,
        overrides=overrides(best.settings),
        recipe_file=str(artefact.path / f"tuned-{search.name}.yaml"),
        run=kept.run,
        artefact=kept.artefact,
        seconds=watch.seconds,
        up_to_date=complete,
    )
    _finish(artefact, search, inputs, result, chosen)
    return result


def _described(search: LmSearch) -> TunedLm:
    """What is known before the first trial."""
    return TunedLm(
        method=search.name,
        dataset=search.recipe.data.source,
        shots=search.recipe.finetune.shots,
        rows=len(search.rows),
        valid_rows=len(search.sources.store.split("valid")),
        rows_hash=rows_hash(search.rows),
        decides=search.decides,
        unseen_share_of_test=round(search.unseen_share, 4),
        grid={key: list(values) for key, values in search.grid.items()},
        grid_source="the recipe's grid" if search.recipe.tune.grid else "the paper's grid",
        combinations=grids.combinations(search.grid),
        trials=[],
    )


def _finish(
    artefact: Artefact,
    search: LmSearch,
    inputs: dict[str, str],
    result: TunedLm,
    chosen: Recipe,
) -> None:
    assert result.best is not None
    subset = "" if result.rows == result.valid_rows else f" a subset of {result.rows:,}"
    comment = (
        f"{search.name} tuned with {result.shots:,} shots on{subset} validation rows of "
        f"{WHOSE[result.decides]}:\nAUC {result.best.auc:.4f}, the best of {len(result.trials)} "
        f"trials among {result.combinations:,} combinations of {result.grid_source}."
    )
    with search.workspace.writing():
        written(chosen, Path(result.recipe_file or ""), comment)
        artefact.finish(
            Manifest(
                stage="tune-lm",
                fingerprint=recipes.fingerprint(search.parts()),
                recipe=search.parts(),
                inputs=inputs,
                seed=chosen.seed,
                figures=asdict(result),
                seconds=result.seconds,
            )
        )
