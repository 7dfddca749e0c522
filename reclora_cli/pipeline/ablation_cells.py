"""From one evaluation of all models to what each cell of the grid says."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from reclora_cli.metrics.over_seeds import MeanSd, mean_sd
from reclora_cli.pipeline.ablated import CellResult
from reclora_cli.pipeline.grid import Cell, Grid
from reclora_cli.stages import locate
from reclora_cli.stages.evaluated import EvaluateResult, ModelResult
from reclora_cli.workspace import Artefact, Workspace


def cell_results(grid: Grid, evaluated: EvaluateResult, workspace: Workspace) -> list[CellResult]:
    """Every cell of ``grid``, in order."""
    models = {model.name: model for model in evaluated.models}
    held = models[evaluated.reference]
    return [_cell(cell, grid, evaluated, models, held, workspace) for cell in grid.cells]


def _cell(
    cell: Cell,
    grid: Grid,
    evaluated: EvaluateResult,
    models: dict[str, ModelResult],
    held: ModelResult,
    workspace: Workspace,
) -> CellResult:
    places = [
        (locate.crm if cell.kind == "crm" else locate.run)(recipe, workspace)
        for recipe in cell.recipes
    ]
    own = [models[place.name] for place in places]
    first = own[0]
    pair = next((one for one in evaluated.differences if one.model == first.name), None)
    return CellResult(
        label=cell.label,
        line=cell.line,
        x=cell.x,
        kind=cell.kind,
        variant=cell.variant,
        seeds=[recipe.seed for recipe in cell.recipes],
        models=[model.name for model in own],
        identities=[model.identity for model in own],
        auc=first.all.auc,
        log_loss=first.all.log_loss,
        auc_over_seeds=_over_seeds([model.all.auc.value for model in own]),
        log_loss_over_seeds=_over_seeds([model.all.log_loss.value for model in own]),
        relative=_relative(grid, held, first),
        auc_difference=pair.auc if pair and grid.reference else None,
        log_loss_difference=pair.log_loss if pair and grid.reference else None,
        tuning_seconds=tuning_seconds(places) if cell.kind == "run" else None,
        scoring_seconds=mean(model.seconds for model in own) / evaluated.rows,
        published=dict(grid.experiment.published.get(grid.dataset, {}).get(cell.label, {})),
    )


def _relative(grid: Grid, held: ModelResult, own: ModelResult) -> float | None:
    """RelImpr in a table of models, else RelDecr; none of the reference, nor without one."""
    improves = grid.experiment.layout == "models"
    over, under = (held, own) if improves else (own, held)
    if grid.reference is None or own.name == held.name:
        return None
    above, below = over.all.auc.value, under.all.auc.value
    return above / below - 1 if above is not None and below else None


def _over_seeds(values: Sequence[float | None]) -> MeanSd | None:
    return mean_sd(values) if len(values) > 1 else None


def tuning_seconds(places: Sequence[Artefact]) -> float:
    """For each example and epoch, a run's whole time: loading the LM and encoding are in it."""
    taken = []
    for place in places:
        manifest = place.manifest()
        assert manifest is not None, "evaluated"
        epochs = manifest.recipe["finetune"]["epochs"]
        taken.append(manifest.seconds / (manifest.figures["examples"] * epochs))
    return mean(taken)
