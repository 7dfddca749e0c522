"""A grid of the task ``next``: one evaluation of all its models, and what each cell of it says."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from reclora_cli.metrics.over_seeds import MeanSd, mean_sd
from reclora_cli.pipeline.ablated import NextCellResult
from reclora_cli.pipeline.ablation_cells import tuning_seconds
from reclora_cli.pipeline.ablation_models import name_of
from reclora_cli.pipeline.grid import Cell, Grid
from reclora_cli.progress import SILENT, Progress
from reclora_cli.stages import evaluate_next, locate
from reclora_cli.stages.next_evaluated import EvaluateNextResult, NextModelResult
from reclora_cli.stages.parameter_counts import ParameterCounts, parameter_counts
from reclora_cli.workspace import Workspace

_LYING = ("run", "crm")
"""Kinds of models that are artefacts of the workspace."""


def compared(
    grid: Grid, workspace: Workspace, progress: Progress = SILENT, device: str = "auto"
) -> EvaluateNextResult:
    """All models on the same rows and candidates, from the scores that are kept."""
    runs, encoders = grid.recipes("run"), grid.recipes("crm")
    reference = next((cell for cell in grid.cells if cell.label == grid.reference), grid.cells[0])
    return evaluate_next.run(
        grid.base,
        workspace,
        progress,
        runs=tuple(locate.run(recipe, workspace).name for recipe in runs),
        lm=bool(runs),
        encoder=bool(encoders or grid.recipes("popularity")),
        encoders=tuple(encoders),
        zero_shot=bool(grid.recipes("zero-shot")),
        reference=name_of(reference.kind, reference.recipes[0], workspace),
        device=device,
    )


def cell_results(
    grid: Grid, evaluated: EvaluateNextResult, workspace: Workspace
) -> list[NextCellResult]:
    """Every cell of ``grid``, in order."""
    models = {model.name: model for model in evaluated.models}
    return [_cell(cell, grid, evaluated, models, workspace) for cell in grid.cells]


def counts_of(cell: Cell) -> ParameterCounts | None:
    """What the cell's first seed trains; ``None`` of what is no run."""
    return parameter_counts(cell.recipes[0]) if cell.kind == "run" else None


def _cell(
    cell: Cell,
    grid: Grid,
    evaluated: EvaluateNextResult,
    models: dict[str, NextModelResult],
    workspace: Workspace,
) -> NextCellResult:
    own = [models[name_of(cell.kind, recipe, workspace)] for recipe in cell.recipes]
    first, lies = own[0], cell.kind in _LYING
    pair = next((one for one in evaluated.differences if one.model == first.name), None)
    held = pair if grid.reference else None
    return NextCellResult(
        label=cell.label,
        line=cell.line,
        x=cell.x,
        kind=cell.kind,
        variant=cell.variant,
        seeds=[recipe.seed for recipe in cell.recipes],
        models=[model.name for model in own] if lies else [],
        identities=[model.identity for model in own] if lies else [],
        figures=first.figures,
        figures_over_seeds=_over_seeds(own),
        differences=held.figures if held else {},
        mcnemar=held.mcnemar if held else None,
        parameters=counts_of(cell),
        tuning_seconds=_tuning_seconds(cell, workspace),
        scoring_seconds=mean(model.seconds for model in own) / evaluated.rows,
        published=dict(grid.experiment.published.get(grid.dataset, {}).get(cell.label, {})),
    )


def _over_seeds(own: Sequence[NextModelResult]) -> dict[str, MeanSd]:
    if len(own) < 2:
        return {}
    return {
        name: mean_sd([model.figures[name].value for model in own])
        for name in own[0].figures
        if all(name in model.figures for model in own)
    }


def _tuning_seconds(cell: Cell, workspace: Workspace) -> float | None:
    if cell.kind != "run":
        return None
    return tuning_seconds([locate.run(recipe, workspace) for recipe in cell.recipes])
