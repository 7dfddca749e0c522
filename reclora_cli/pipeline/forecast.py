"""How long a grid will take, from what this workspace and this machine have taken before.

Tuning and scoring cost in proportion to prompts, so one finished run of the same LM predicts the
others. Without any, a few real batches are measured (``finetune --dry-run``). Indexes and CRMs are
predicted from others of the dataset. What cannot be predicted is said to be unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reclora_cli import device as devices
from reclora_cli.data import schema
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError
from reclora_cli.pipeline import graph
from reclora_cli.pipeline.ablated import Plan, PlannedRun
from reclora_cli.pipeline.ablation_models import name_of
from reclora_cli.pipeline.grid import STAGES, Cell, Grid
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring import score_files
from reclora_cli.stages import evaluate_next, finetune, locate, runs
from reclora_cli.stages.evaluate import choose_rows
from reclora_cli.stages.parameter_counts import ParameterCounts, parameter_counts
from reclora_cli.stages.shot_examples import policies
from reclora_cli.workspace import Artefact, Workspace

_SCORING = {"rate": 1 / 3, "next": 1.0}
"""Of a prompt's time in tuning: the forward pass alone; of the task ``next`` also what is said, and
a pass over the titles of all candidates."""


@dataclass(frozen=True)
class Rates:
    """Seconds for each prompt, tuned and scored, and where they come from; ``None``: unknown."""

    tuning: float | None
    scoring: float | None
    source: str


def plan(
    grid: Grid,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    device: str = "auto",
    counted: bool = False,
) -> Plan:
    """What is left to do of ``grid``, and about how long it takes; nothing is written.

    Args:
        counted: of the task ``next``, also count what each run trains.
    """
    rates = _rates(grid, workspace, progress, device)
    planned = [
        _planned(cell, at, grid, workspace, rates, counted=counted)
        for cell in grid.cells
        for at in range(len(cell.recipes))
    ]
    planned = list({(run.kind, run.name): run for run in planned}.values())
    shared = _shared(grid, workspace)
    known = [_seconds_of(stage, recipe, workspace) for stage, recipe in shared.values()]
    sure = [seconds for seconds in known if seconds is not None]
    return Plan(
        runs=planned,
        shared=list(shared),
        shared_seconds=sum(sure) if len(sure) == len(known) else None,
        from_what=rates.source,
    )


def _planned(
    cell: Cell, at: int, grid: Grid, workspace: Workspace, rates: Rates, *, counted: bool
) -> PlannedRun:
    recipe = cell.recipes[at]
    label = cell.label if len(cell.recipes) == 1 else f"{cell.label}, seed {recipe.seed}"
    if cell.kind != "run":
        name = name_of(cell.kind, recipe, workspace)
        there = graph.pending(STAGES[cell.kind], recipe, workspace) is None
        return PlannedRun(label, name, cell.kind, "done" if there else "new", 0, 0, None)
    artefact = locate.run(recipe, workspace)
    state = _state(artefact, recipe, workspace)
    to_score = _to_score(artefact, grid, workspace)
    seconds = None
    if rates.tuning is not None and rates.scoring is not None:
        left = 0.0 if state == "done" else 1 - _share_done(artefact, recipe)
        seconds = left * _prompts(recipe) * rates.tuning + to_score * rates.scoring
        seconds += grid.gradients * rates.tuning
    shots, counts = recipe.finetune.shots, _counts(grid, recipe) if counted else None
    return PlannedRun(label, artefact.name, cell.kind, state, shots, to_score, seconds, counts)


def _prompts(recipe: Recipe) -> int:
    """Prompts of a whole tuning."""
    of_shot = 1 if recipe.task == "next" else len(policies(recipe))
    return of_shot * recipe.finetune.shots * recipe.finetune.epochs


def _counts(grid: Grid, recipe: Recipe) -> ParameterCounts | None:
    """Of the task ``next``; ``None`` too where the LM cannot be had."""
    if grid.task != "next":
        return None
    try:
        return parameter_counts(recipe)
    except RecloraError:
        return None


def _state(artefact: Artefact, recipe: Recipe, workspace: Workspace) -> str:
    if graph.pending("finetune", recipe, workspace) is None:
        return "done"
    return "begun" if any((artefact.path / "checkpoints").glob("step-*")) else "new"


def _share_done(artefact: Artefact, recipe: Recipe) -> float:
    done = runs.step_reached(artefact) * recipe.finetune.batch_size
    return min(1.0, done / _prompts(recipe))


def _to_score(artefact: Artefact, grid: Grid, workspace: Workspace) -> int:
    """Test rows without a score, as far as can be told before the run is opened."""
    store = locate.store(grid.base, workspace)
    if grid.gradients:
        return 0
    if store.manifest() is None:
        return grid.base.evaluate.rows
    if grid.task == "next":
        rows = evaluate_next.choose_ids(SequenceStore(store.path), grid.base)
    else:
        rows = choose_rows(InteractionsStore(store.path), grid.base.evaluate, grid.base.seed)
    # Rows of the task next are numbered in each split anew.
    files = f"next-{grid.base.evaluate.split}.parquet" if grid.task == "next" else "*.parquet"
    kept = [_rows_in(file) for file in (artefact.path / "scores").glob(files)]
    return int((~np.isin(rows, np.concatenate(kept))).sum()) if kept else len(rows)


def _shared(grid: Grid, workspace: Workspace) -> dict[str, tuple[str, Recipe]]:
    """Stages that the runs need and that lie not there yet, each once, by what they would make."""
    found: dict[str, tuple[str, Recipe]] = {}
    for kind, stage in (("crm", "pretrain-crm"), ("run", "finetune")):
        for recipe in grid.recipes(kind):  # type: ignore[arg-type]
            for needed in graph.needs(stage, recipe):
                if graph.pending(needed, recipe, workspace) is not None:
                    name = graph.artefact(needed, recipe, workspace).name
                    found.setdefault(f"{needed} {name}", (needed, recipe))
    order = ["prepare", "build-index", "pretrain-crm"]
    return dict(sorted(found.items(), key=lambda one: order.index(one[1][0])))


def _seconds_of(stage: str, recipe: Recipe, workspace: Workspace) -> float | None:
    """As long as others of its kind took on this dataset."""
    kind = {"build-index": "index", "pretrain-crm": "crm"}.get(stage)
    if kind is None:
        return None
    found = [
        manifest.seconds
        for artefact in workspace.artefacts(recipe.data.source, kind)
        if (manifest := artefact.manifest()) is not None and manifest.seconds > 0
    ]
    return median(found) if found else None


def _rates(grid: Grid, workspace: Workspace, progress: Progress, device: str) -> Rates:
    of_runs = grid.recipes("run")
    if not of_runs:
        return Rates(None, None, "no LM is tuned")
    on = devices.pick(device).type
    finished = runs.finished(workspace, grid.dataset, grid.task)
    known = [run for run in finished if _alike(run, of_runs[0], on)]
    if known:
        tuning = [_tuning_rate(run) for run in known]
        scoring = [rate for run in known if (rate := _scoring_rate(run)) is not None]
        rate = median(tuning)
        scored = median(scoring) if scoring else rate * _SCORING[grid.task]
        return Rates(rate, scored, f"from {len(known)} runs of this LM here")
    return _measured(of_runs[0], workspace, progress, device)


def _alike(run: runs.Run, recipe: Recipe, device: str) -> bool:
    """Whether its time tells of the recipe's: the same LM and prompts on such a device."""
    figures = run.manifest.figures
    here = (figures.get("computed") or {}).get("device") == device
    ours, theirs = recipe, run.recipe
    same = theirs.lm == ours.lm and theirs.prompt.history == ours.prompt.history
    same = same and theirs.next.history == ours.next.history
    return here and same and bool(figures.get("examples"))


def _tuning_rate(run: runs.Run) -> float:
    figures = run.manifest.figures
    return float(run.manifest.seconds / (figures["examples"] * run.recipe.finetune.epochs))


def _scoring_rate(run: runs.Run) -> float | None:
    found = [
        float(told["seconds"]) / len(rows)
        for file in (run.artefact.path / "scores").glob("*.parquet")
        if (told := score_files.metadata(file)) and len(rows := _rows_in(file))
    ]
    return median(found) if found else None


def _rows_in(file: Path) -> NDArray[np.int64]:
    try:
        return np.asarray(pq.read_table(file, columns=[schema.ROW])[schema.ROW], dtype=np.int64)
    except (OSError, pa.ArrowException):
        return np.empty(0, dtype=np.int64)


def _measured(recipe: Recipe, workspace: Workspace, progress: Progress, device: str) -> Rates:
    if locate.store(recipe, workspace).manifest() is None:
        return Rates(None, None, "unknown before prepare has run")
    try:
        result = finetune.run(recipe, workspace, progress, device=device, dry_run=True)
    except RecloraError as error:
        return Rates(None, None, f"unknown: {error.what}")
    assert result.plan is not None, "a dry run plans"
    rate = result.plan.seconds / (result.examples * recipe.finetune.epochs)
    measured = result.plan.seconds_measured is not None
    source = "from a few batches measured just now" if measured else "by arithmetic: no LM here yet"
    return Rates(rate, rate * _SCORING[recipe.task], source)
