"""``reclora evaluate``: runs, CRMs and the untuned LM side by side on the same rows.

Every figure carries n, the rows' hash, seed and an interval; every difference is paired; a subset
says that it is one (method.md section 5).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from reclora_cli import device as devices
from reclora_cli import processes
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.recipe.tree import EvaluateRecipe
from reclora_cli.scoring.kept_scores import Rows, known_scores
from reclora_cli.seeding import numpy_stream
from reclora_cli.stages import evaluation_figure, evaluation_tables, locate
from reclora_cli.stages.contestants import Contestant, assemble
from reclora_cli.stages.evaluated import EvaluateResult, Planned
from reclora_cli.stages.pictures import require_picture
from reclora_cli.stages.side_by_side import evaluate_scorers, result_of
from reclora_cli.workspace import Stopwatch, Workspace

_PROBED_ROWS = (8, 256)
_QUICK_SECONDS = 0.5


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    runs: Sequence[str] = (),
    crm: bool = True,
    crms: Sequence[Recipe] = (),
    zero_shot: bool = False,
    lm: bool = True,
    reference: str | None = None,
    plot: Path | None = None,
    save: Sequence[Path] = (),
    device: str = "auto",
    force: bool = False,
    dry_run: bool = False,
) -> EvaluateResult:
    """Score and compare; several processes share the rows, and the main one compares.

    Args:
        runs: names of runs; without any, the latest finished one.
        crm: also the CRM that guides them, or the recipe's when none is guided.
        crms: recipes of the same dataset whose CRMs are scored instead of the guiding ones.
        zero_shot: also the LM untuned, with the first run's prompts.
        lm: ``False`` evaluates no run.
        reference: the model that the others are held against; the first one by default.
        plot: also draw the break-downs and the calibration into this PNG or SVG file.
        save: also write the result into these files: as JSON, or as tables (CSV, Markdown, LaTeX).
        force: score anew what is kept.
        dry_run: say what scoring would take, from a few rows scored now; nothing is written.

    Raises:
        UsageError: unknown run or reference, more rows than the split has, a plot of no picture
            format, or a file to save of no known format.
        MissingInputError: nothing to evaluate, or something it was made from is gone.
    """
    if plot:
        require_picture(plot)
    for file in save:
        evaluation_tables.check_format(file)
    if dry_run:
        processes.require_alone("a dry run")
    chosen = devices.pick(device)
    together = processes.meet(chosen)
    artefact = locate.store(recipe, workspace)
    locate.require(artefact, "prepared dataset", locate.prepare_command(recipe))
    store = InteractionsStore(artefact.path)
    rows = choose_rows(store, recipe.evaluate, recipe.seed)
    found = assemble(
        recipe,
        workspace,
        chosen,
        progress,
        named=runs,
        lm=lm,
        crm=crm,
        crms=crms,
        zero_shot=zero_shot,
        together=together,
    )
    if dry_run:
        return _planned(found, store, rows, recipe, progress, force=force)
    folder = workspace.dataset(recipe.data.source) / "evaluations"
    with workspace.writing(together):
        result = evaluate_scorers(
            found,
            store,
            rows,
            recipe.evaluate,
            recipe.seed,
            folder,
            progress,
            reference=reference,
            force=force,
            together=together,
        )
    result = replace(result, plot=str(plot) if plot else None, saved=[str(file) for file in save])
    if together.main:
        if plot:
            evaluation_figure.draw(result, plot)
        for file in save:
            evaluation_tables.save(result, file)
    return result


def choose_rows(store: InteractionsStore, settings: EvaluateRecipe, seed: int) -> Rows:
    """Row ids to be scored, ascending: the split, or the first ``rows`` of one permutation of it.

    Raises:
        UsageError: the split has fewer rows than asked for.
    """
    every = np.asarray(store.split(settings.split), dtype=np.int64)
    if settings.rows > len(every):
        raise UsageError(
            f"{settings.rows:,} rows asked for, and {settings.split} has {len(every):,}",
            where="--rows",
            hint="Leave --rows away to score every row.",
        )
    if settings.rows in (0, len(every)):
        return every
    return np.sort(
        numpy_stream(seed, "evaluate", settings.split).permutation(every)[: settings.rows]
    )


def _planned(
    contestants: Sequence[Contestant],
    store: InteractionsStore,
    rows: Rows,
    recipe: Recipe,
    progress: Progress,
    *,
    force: bool,
) -> EvaluateResult:
    watch = Stopwatch()
    plan = []
    for contestant in contestants:
        known, _ = known_scores(contestant.scorer.identity, store, rows, contestant.folder)
        lacking = rows if force else rows[np.isnan(known)]
        seconds = _extrapolated(contestant, lacking, progress)
        plan.append(
            Planned(contestant.name, contestant.kind, contestant.method, len(lacking), seconds)
        )
    return result_of(
        contestants, store, rows, recipe.evaluate, recipe.seed, plan=plan, seconds=watch.seconds
    )


def _extrapolated(contestant: Contestant, lacking: Rows, progress: Progress) -> float:
    """Seconds for the ``lacking`` rows; more rows are tried when a few are over too soon."""
    if len(lacking) == 0:
        return 0.0
    spread = lacking[np.linspace(0, len(lacking) - 1, max(_PROBED_ROWS)).astype(np.int64)]
    contestant.scorer.score(spread[:1], progress)
    took, tried = 0.0, 1
    for tried in _PROBED_ROWS:
        start = time.perf_counter()
        contestant.scorer.score(spread[:: len(spread) // tried], SILENT)
        took = time.perf_counter() - start
        if took > _QUICK_SECONDS:
            break
    contestant.scorer.close()
    return took / tried * len(lacking)
