"""``reclora pretrain-crm --tune``: the paper's grid of one CRM, searched on validation rows.

    datasets/<dataset>/tune/<model>-<fingerprint>/
        study.journal        every trial, as Optuna keeps it
        trials/<crm>/        the trial under way, and the best one
        tuned-<model>.yaml   the chosen settings, for --recipe

A trial is an ordinary recipe with other settings, trained as ``pretrain-crm`` trains it. The best
one's CRM is moved to where that recipe's CRM lies, so it is an artefact like any other. Test rows
are not scored here; of them only whose they are is read, for ``as-test``.
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
from reclora_cli.stages import pretrain_crm
from reclora_cli.stages.crm_validation import WHOSE
from reclora_cli.stages.tune_crm_search import CrmSearch
from reclora_cli.stages.tune_search import TRIALS, TunePlan, Wanted
from reclora_cli.stages.tune_study import TrialLine
from reclora_cli.stages.tune_trials import overrides, searched, written
from reclora_cli.training.tensorboard import require_tensorboard
from reclora_cli.workspace import Artefact, Manifest, Stopwatch, Workspace

__all__ = ["TRIALS", "TrialLine", "TunePlan", "TunedCrm", "run"]


@dataclass(frozen=True)
class TunedCrm:
    """What a search found, or (``dry_run``) would take.

    Attributes:
        decides: whose validation AUC was maximised (``crm.stop_on``).
        unseen_share_of_test: weight of unseen users in ``as-test``.
        grid: key of the recipe -> values searched; ``combinations`` of them in all.
        trials: every trial that ended, in the order tried.
        best: the one that was kept.
        overrides: its settings as ``--set`` takes them.
        recipe_file: a recipe of its settings, for ``--recipe``.
        artefact: its CRM.
        up_to_date: no trial was missing.
    """

    model: str
    dataset: str
    decides: str
    unseen_share_of_test: float
    grid: dict[str, list[Any]]
    combinations: int
    trials: list[TrialLine]
    best: TrialLine | None = None
    overrides: tuple[str, ...] = ()
    recipe_file: str | None = None
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
) -> TunedCrm:
    """Search the grid of the recipe's CRM; called again, it goes on where it stood.

    Args:
        trials: how many in all, those of earlier calls included.
        budget_minutes: no trial starts once those so far took so long; instead of ``trials``.
        held: keys of the recipe that are not searched.
        force: forget earlier trials.

    Raises:
        UsageError: the model has no grid, or all of it is held.
        MissingInputError: the prepared dataset, or the index that it retrieves by, is missing.
        RecloraError: no trial could be trained to its end.
    """
    if tensorboard:
        require_tensorboard()
    search = CrmSearch(recipe, workspace, devices.pick(device), held)
    wanted = Wanted.of(trials, budget_minutes)
    if dry_run:
        return replace(_described(search), dry_run=True, plan=search.plan(wanted))
    watch = Stopwatch()
    inputs = search.inputs(recipe)
    artefact = search.artefact(inputs)
    lines, best, complete = searched(
        search, wanted, artefact, progress, force=force, tensorboard=tensorboard
    )
    # Trains it again if somebody removed it; otherwise it is told again.
    chosen = search.changed(best.settings)
    crm = pretrain_crm.run(chosen, workspace, progress, device=device, tensorboard=tensorboard)
    result = replace(
        _described(search),
        trials=lines,
        best=best,
        overrides=overrides(best.settings),
        recipe_file=str(artefact.path / f"tuned-{recipe.crm.model}.yaml"),
        artefact=crm.artefact,
        seconds=watch.seconds,
        up_to_date=complete,
    )
    _finish(artefact, search, inputs, result, chosen)
    return result


def _described(search: CrmSearch) -> TunedCrm:
    """What is known before the first trial."""
    return TunedCrm(
        model=search.name,
        dataset=search.recipe.data.source,
        decides=search.decides,
        unseen_share_of_test=round(search.unseen_share, 4),
        grid={key: list(values) for key, values in search.grid.items()},
        combinations=grids.combinations(search.grid),
        trials=[],
    )


def _finish(
    artefact: Artefact,
    search: CrmSearch,
    inputs: dict[str, str],
    result: TunedCrm,
    chosen: Recipe,
) -> None:
    assert result.best is not None
    comment = (
        f"{search.name} tuned on validation rows of {WHOSE[result.decides]}: "
        f"AUC {result.best.auc:.4f},\nthe best of {len(result.trials)} trials among "
        f"{result.combinations:,} combinations of the paper's grid (appendix B.1)."
    )
    with search.workspace.writing():
        written(chosen, Path(result.recipe_file or ""), comment)
        artefact.finish(
            Manifest(
                stage="tune-crm",
                fingerprint=recipes.fingerprint(search.parts()),
                recipe=search.parts(),
                inputs=inputs,
                seed=chosen.seed,
                figures=asdict(result),
                seconds=result.seconds,
            )
        )
