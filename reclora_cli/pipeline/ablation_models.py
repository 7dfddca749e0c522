"""One model of a grid, trained unless it lies there, and scored on the grid's rows."""

from __future__ import annotations

from reclora_cli import device as devices
from reclora_cli.data.download import Confirm
from reclora_cli.data.store import InteractionsStore
from reclora_cli.metrics.auc import auc
from reclora_cli.pipeline import graph
from reclora_cli.pipeline.grid import STAGES, Kind
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring import score_files
from reclora_cli.stages import evaluate, locate
from reclora_cli.stages.contestants import assemble
from reclora_cli.workspace import Workspace


def name_of(kind: Kind, recipe: Recipe, workspace: Workspace) -> str:
    """Of the run or CRM that the recipe makes."""
    return graph.artefact(STAGES[kind], recipe, workspace).name


def make(
    kind: Kind,
    recipe: Recipe,
    base: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    device: str = "auto",
    confirm: Confirm | None = None,
) -> float | None:
    """Train and score; what lies there of either is not done again.

    Args:
        base: whose test rows are scored.

    Returns:
        AUC on these rows; ``None`` where they hold one class only.
    """
    stage = STAGES[kind]
    if graph.pending(stage, recipe, workspace) is not None:
        graph.run(stage, recipe, workspace, progress, confirm=confirm, device=device)
    [contestant] = assemble(
        base,
        workspace,
        devices.pick(device),
        progress,
        named=() if kind == "crm" else (locate.run(recipe, workspace).name,),
        lm=kind == "run",
        crm=kind == "crm",
        crms=(recipe,),
    )
    store = InteractionsStore(locate.store(base, workspace).path)
    rows = evaluate.choose_rows(store, base.evaluate, base.seed)
    try:
        with workspace.writing():
            scores = score_files.score(
                contestant.scorer,
                store,
                rows,
                contestant.folder,
                split=base.evaluate.split,
                progress=progress,
            )
    finally:
        contestant.scorer.close()
    return auc(store.row_label(rows), scores.probability)
