"""One model of a grid, trained unless it lies there, and scored on the grid's rows."""

from __future__ import annotations

from reclora_cli import device as devices
from reclora_cli.data.download import Confirm
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.data.store import InteractionsStore
from reclora_cli.metrics.auc import auc
from reclora_cli.metrics.ranking import by_row, truth_ranks
from reclora_cli.pipeline import graph
from reclora_cli.pipeline.grid import STAGES, Kind
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring import choice_files, score_files
from reclora_cli.stages import evaluate, evaluate_next, locate
from reclora_cli.stages.contestants import assemble
from reclora_cli.stages.next_contestants import assemble_next
from reclora_cli.workspace import Workspace


def name_of(kind: Kind, recipe: Recipe, workspace: Workspace) -> str:
    """What evaluations call the model that the recipe makes."""
    if kind not in {"run", "crm"}:
        return kind
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
) -> str:
    """Train and score; what lies there of either is not done again.

    Args:
        base: whose test rows are scored.

    Returns:
        what it reaches on these rows, in words: its AUC, or HR@1 of its ranking.
    """
    stage = STAGES[kind]
    if graph.pending(stage, recipe, workspace) is not None:
        graph.run(stage, recipe, workspace, progress, confirm=confirm, device=device)
    scored = _chosen if base.task == "next" else _scored
    return scored(kind, recipe, base, workspace, progress, device)


def _scored(
    kind: Kind, recipe: Recipe, base: Recipe, workspace: Workspace, progress: Progress, device: str
) -> str:
    """Of the task ``rate``; AUC is undefined where rows hold one class only."""
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
    found = auc(store.row_label(rows), scores.probability)
    return "AUC undefined" if found is None else f"AUC {found:.4f}"


def _chosen(
    kind: Kind, recipe: Recipe, base: Recipe, workspace: Workspace, progress: Progress, device: str
) -> str:
    """Of the task ``next``."""
    found = assemble_next(
        base,
        workspace,
        devices.pick(device),
        progress,
        named=(locate.run(recipe, workspace).name,) if kind == "run" else (),
        lm=kind == "run",
        encoder=kind in {"crm", "popularity"},
        encoders=(recipe,),
        zero_shot=kind == "zero-shot",
    )
    name = name_of(kind, recipe, workspace)
    [contestant] = [one for one in found if one.name == name]
    store, split = SequenceStore(locate.store(base, workspace).path), base.evaluate.split
    ids = evaluate_next.choose_ids(store, base)
    try:
        with workspace.writing():
            kept = choice_files.choices(
                contestant.chooser, store, split, ids, contestant.folder, progress
            )
    finally:
        contestant.chooser.close()
    hits = by_row(truth_ranks(kept.scores, store.truth(split)[ids]))["hit_ratio@1"]
    return f"HR@1 {hits.mean():.4f}"
