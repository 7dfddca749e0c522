"""``reclora ablate``: every run of a table or figure, trained, scored on the same rows, and told.

A grid is nothing but runs in the workspace. So it shares every stage that two runs have in common
with each other and with whatever was run by hand, it goes on wherever it was interrupted, and
repeated it trains nothing. Its results lie in ``datasets/<dataset>/ablations/<name>/``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reclora_cli.data.download import Confirm
from reclora_cli.pipeline import (
    ablation_alignment,
    ablation_figure,
    ablation_next,
    ablation_next_table,
    ablation_report,
    forecast,
    graph,
)
from reclora_cli.pipeline.ablated import AblateResult, AnyCell, GridResult
from reclora_cli.pipeline.ablation_cells import cell_results
from reclora_cli.pipeline.ablation_jobs import default_jobs, run_side_by_side
from reclora_cli.pipeline.ablation_models import make, name_of
from reclora_cli.pipeline.ablation_pace import Pace
from reclora_cli.pipeline.ablation_table import table_of
from reclora_cli.pipeline.grid import Grid
from reclora_cli.progress import SILENT, Progress, SaidOnce
from reclora_cli.stages import evaluate, locate
from reclora_cli.stages.evaluated import EvaluateResult
from reclora_cli.stages.next_evaluated import EvaluateNextResult
from reclora_cli.tabular import Table
from reclora_cli.workspace import Stopwatch, Workspace


def run(
    grids: Sequence[Grid],
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    device: str = "auto",
    confirm: Confirm | None = None,
    jobs: int | None = None,
    dry_run: bool = False,
) -> AblateResult:
    """Train, score and compare every cell of every grid.

    Args:
        grids: see ``grid.shipped`` and ``grid_variants.of_variants``.
        confirm: asks a person to accept the data's terms of use; ``None``: there is nobody.
        jobs: runs at a time, each in a process of its own; ``None``: one for each GPU, else one.
        dry_run: say what is left to do, and about how long it takes; nothing is written.

    Raises:
        RecloraError: whatever the stages raise; what was finished stays, and the same call goes on.
    """
    watch, progress = Stopwatch(), SaidOnce(progress)
    if dry_run:
        planned = [_planned(grid, workspace, progress, device) for grid in grids]
        return AblateResult(planned, dry_run=True, seconds=watch.seconds)
    count = jobs or default_jobs(device)
    with workspace.writing():  # All the while: a stage that another kept waiting would fail.
        found = [_walked(grid, workspace, progress, device, confirm, count) for grid in grids]
    return AblateResult(found, dry_run=False, seconds=watch.seconds)


def folder(grid: Grid, workspace: Workspace) -> Path:
    """Where the grid's results lie."""
    return workspace.dataset(grid.dataset) / "ablations" / grid.name


def _planned(grid: Grid, workspace: Workspace, progress: Progress, device: str) -> GridResult:
    plan = forecast.plan(grid, workspace, progress, device=device, counted=True)
    return _result(grid, cells=[], plan=plan)


def _walked(
    grid: Grid,
    workspace: Workspace,
    progress: Progress,
    device: str,
    confirm: Confirm | None,
    jobs: int,
) -> GridResult:
    watch = Stopwatch()
    if not grid.cells:
        return _datasets(grid, workspace, progress, confirm)
    graph.ensure("build-index", grid.base, workspace, progress, confirm=confirm, device=device)
    plan = forecast.plan(grid, workspace, progress, device=device)
    pace = Pace(grid, plan, progress, jobs)
    pace.begin()
    if grid.gradients:
        return _aligned(grid, workspace, progress, device, confirm)
    _trained(grid, workspace, pace, progress, device=device, confirm=confirm, jobs=jobs)
    evaluated, cells, table = _told(grid, workspace, progress, device)
    place = folder(grid, workspace)
    files = [
        *ablation_report.write_table(table, place),
        *ablation_figure.draw(grid, cells, evaluated, place),
    ]
    return _kept(
        grid,
        table,
        files,
        place,
        watch,
        cells=list(cells),
        split=evaluated.split,
        rows=evaluated.rows,
        of=evaluated.of,
        rows_hash=evaluated.rows_hash,
        confidence=evaluated.confidence,
    )


def _trained(
    grid: Grid,
    workspace: Workspace,
    pace: Pace,
    progress: Progress,
    *,
    device: str,
    confirm: Confirm | None,
    jobs: int,
) -> None:
    """Make every model; ``pace`` tells of each."""
    apart = grid.recipes("run") if jobs > 1 else []
    for recipe in apart:
        graph.ensure("finetune", recipe, workspace, progress, confirm=confirm, device=device)
    for kind, recipe in [one for one in grid.models() if one[0] != "run" or not apart]:
        watch = Stopwatch()
        reached = make(kind, recipe, grid.base, workspace, progress, device=device, confirm=confirm)
        pace.ended(name_of(kind, recipe, workspace), reached, watch.seconds)
    if apart:
        logs = folder(grid, workspace) / "logs"
        run_side_by_side(apart, grid.base, workspace, logs, pace.ended, jobs=jobs, device=device)


def _told(
    grid: Grid, workspace: Workspace, progress: Progress, device: str
) -> tuple[EvaluateResult | EvaluateNextResult, Sequence[AnyCell], Table]:
    """What all models reach on the same rows, as cells and as the table."""
    if grid.task == "next":
        chosen = ablation_next.compared(grid, workspace, progress, device)
        of_next = ablation_next.cell_results(grid, chosen, workspace)
        return chosen, of_next, ablation_next_table.table_of(grid, of_next, chosen)
    evaluated = _compared(grid, workspace, progress, device)
    cells = cell_results(grid, evaluated, workspace)
    return evaluated, cells, table_of(grid, cells, evaluated)


def _aligned(
    grid: Grid, workspace: Workspace, progress: Progress, device: str, confirm: Confirm | None
) -> GridResult:
    """Gradients of each run between clusters of rows; no row is scored."""
    watch, place = Stopwatch(), folder(grid, workspace)
    for recipe in grid.recipes("run"):
        if graph.pending("finetune", recipe, workspace) is not None:
            graph.run("finetune", recipe, workspace, progress, confirm=confirm, device=device)
    found = ablation_alignment.run(grid, workspace, place, progress, device)
    table = ablation_alignment.table_of(grid, found)
    files = [
        *ablation_report.write_table(table, place),
        *ablation_alignment.draw(grid, found, place),
    ]
    return _kept(grid, table, files, place, watch, cells=[], alignment=found)


def _compared(grid: Grid, workspace: Workspace, progress: Progress, device: str) -> EvaluateResult:
    """All models on the same rows, from the scores that are kept; the reference's first seed."""
    names = tuple(locate.run(recipe, workspace).name for recipe in grid.recipes("run"))
    crms = tuple(grid.recipes("crm"))
    reference = next((cell for cell in grid.cells if cell.label == grid.reference), grid.cells[0])
    held = reference.recipes[0]
    place = locate.crm if reference.kind == "crm" else locate.run
    return evaluate.run(
        grid.base,
        workspace,
        progress,
        runs=names,
        lm=bool(names),
        crm=bool(crms),
        crms=crms,
        reference=place(held, workspace).name,
        device=device,
    )


def _datasets(
    grid: Grid, workspace: Workspace, progress: Progress, confirm: Confirm | None
) -> GridResult:
    """Table 1: what preparation counted."""
    watch = Stopwatch()
    graph.run("prepare", grid.base, workspace, progress, confirm=confirm)
    table = ablation_report.statistics(grid, workspace)
    place = folder(grid, workspace)
    files = ablation_report.write_table(table, place)
    return _kept(grid, table, files, place, watch, cells=[])


def _kept(
    grid: Grid, table: Table, files: list[str], place: Path, watch: Stopwatch, **found: Any
) -> GridResult:
    """The result, written beside the table's files."""
    result = _result(
        grid,
        table=ablation_report.as_text(table),
        files=files,
        artefact=str(place / ablation_report.RESULT),
        seconds=watch.seconds,
        **found,
    )
    ablation_report.write_result(result, place)
    return result


def _result(grid: Grid, *, cells: list[AnyCell], **more: Any) -> GridResult:
    return GridResult(
        name=grid.name,
        title=grid.experiment.title,
        layout=grid.experiment.layout,
        size=grid.size,
        dataset=grid.dataset,
        seeds=max((len(cell.recipes) for cell in grid.cells), default=1),
        settings=list(grid.settings),
        reference=grid.reference,
        cells=cells,
        **more,
    )
