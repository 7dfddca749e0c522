"""Models side by side on the same rows: scored, measured, compared, and kept as one result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reclora_cli.data.slices import row_slices, seen_user
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError, did_you_mean
from reclora_cli.metrics.calibration import calibration_curve
from reclora_cli.metrics.compare import Comparison
from reclora_cli.metrics.over_seeds import over_seeds
from reclora_cli.processes import ALONE, Processes
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import fingerprint
from reclora_cli.recipe.tree import EvaluateRecipe
from reclora_cli.scoring import score_files
from reclora_cli.scoring.kept_scores import Rows, rows_hash
from reclora_cli.scoring.score_files import Scores
from reclora_cli.seeding import numpy_stream
from reclora_cli.stages.break_downs import Slice, break_downs
from reclora_cli.stages.contestants import Contestant
from reclora_cli.stages.evaluated import (
    EvaluateResult,
    ModelResult,
    PairResult,
    Planned,
    SeedsResult,
)
from reclora_cli.workspace import Stopwatch, write_json


def evaluate_scorers(
    contestants: Sequence[Contestant],
    store: InteractionsStore,
    rows: Rows,
    settings: EvaluateRecipe,
    seed: int,
    folder: Path,
    progress: Progress = SILENT,
    *,
    reference: str | None = None,
    force: bool = False,
    together: Processes = ALONE,
) -> EvaluateResult:
    """Score ``rows`` (ascending ids) with every contestant, compare them, and keep the result.

    Args:
        folder: where the result is written as JSON.
        reference: the contestant the others are held against, by its name or, where that tells
            it apart, its method or how its name begins, as tables do; the first by default.
        together: processes that share the scoring; the main one then compares, once.

    Raises:
        UsageError: ``reference`` is none of them.
    """
    watch = Stopwatch()
    held_against = _reference(contestants, reference)
    scores = [
        _score(contestant, store, rows, settings.split, progress, force=force, together=together)
        for contestant in contestants
    ]

    def compared() -> EvaluateResult:
        figures = _figures(store, rows, scores, settings, seed, progress)
        slices = _slices(contestants, store, rows, scores, settings)
        name = fingerprint([contestant.scorer.identity for contestant in contestants])[:8]
        file = folder / f"{settings.split}-{rows_hash(rows)}-{name}.json"
        result = result_of(
            contestants,
            store,
            rows,
            settings,
            seed,
            models=_models(contestants, store.row_label(rows), scores, figures, settings),
            differences=_differences(contestants, figures["all"], held_against),
            reference=contestants[held_against].name,
            up_to_date=not any(one.scored for one in scores),
            seconds=watch.seconds,
            artefact=str(file),
            slices=slices,
            seeds=_seeds(contestants, figures["all"]),
        )
        write_json(file, asdict(result))
        return result

    return together.from_main(compared)


def _score(
    contestant: Contestant,
    store: InteractionsStore,
    rows: Rows,
    split: str,
    progress: Progress,
    *,
    force: bool,
    together: Processes,
) -> Scores:
    try:
        return score_files.score(
            contestant.scorer,
            store,
            rows,
            contestant.folder,
            split=split,
            progress=progress,
            force=force,
            together=together,
        )
    finally:
        contestant.scorer.close()


def _figures(
    store: InteractionsStore,
    rows: Rows,
    scores: Sequence[Scores],
    settings: EvaluateRecipe,
    seed: int,
    progress: Progress,
) -> dict[str, Comparison]:
    """All rows, and those of users seen and unseen in training, resampled apart."""
    labels, users = store.row_label(rows), store.row_user(rows)
    seen = seen_user(store, rows)
    chosen = {"all": np.ones(len(rows), dtype=bool), "seen_users": seen, "unseen_users": ~seen}
    compared: dict[str, Comparison] = {}
    with progress.task("bootstrap", total=len(chosen), unit="sets of rows") as task:
        for name, of in chosen.items():
            compared[name] = Comparison(
                labels[of],
                [one.probability[of] for one in scores],
                resamples=settings.resamples,
                confidence=settings.confidence,
                stream=numpy_stream(seed, "bootstrap", name),
                users=users[of],
                user_stream=numpy_stream(seed, "bootstrap", name, "users"),
            )
            task.advance()
    return compared


def _slices(
    contestants: Sequence[Contestant],
    store: InteractionsStore,
    rows: Rows,
    scores: Sequence[Scores],
    settings: EvaluateRecipe,
) -> list[Slice]:
    named = {
        contestant.name: kept.probability
        for contestant, kept in zip(contestants, scores, strict=True)
    }
    slices, tuned = row_slices(store, rows), _tuned(contestants, store, rows)
    return break_downs(store.row_label(rows), named, slices, settings.confidence, tuned)


def _tuned(
    contestants: Sequence[Contestant], store: InteractionsStore, rows: Rows
) -> NDArray[np.bool_] | None:
    """Whether a run was tuned on a row of each row's user, (n,); ``None`` without a run."""
    shots = [np.load(contestant.shots) for contestant in contestants if contestant.shots]
    if not shots:
        return None
    return np.isin(store.row_user(rows), store.row_user(np.concatenate(shots)))


def _models(
    contestants: Sequence[Contestant],
    labels: ArrayLike,
    scores: Sequence[Scores],
    figures: Mapping[str, Comparison],
    settings: EvaluateRecipe,
) -> list[ModelResult]:
    return [
        ModelResult(
            name=contestant.name,
            kind=contestant.kind,
            method=contestant.method,
            identity=contestant.scorer.identity,
            scored=kept.scored,
            seconds=kept.seconds,
            scores=str(kept.file),
            calibration=calibration_curve(labels, kept.probability, settings.confidence),
            **{name: comparison.figures(at) for name, comparison in figures.items()},
        )
        for at, (contestant, kept) in enumerate(zip(contestants, scores, strict=True))
    ]


def _differences(
    contestants: Sequence[Contestant], comparison: Comparison, reference: int
) -> list[PairResult]:
    return [
        PairResult(
            contestant.name,
            contestants[reference].name,
            comparison.auc_difference(at, reference),
            comparison.log_loss_difference(at, reference),
            comparison.relative_auc(at, reference),
        )
        for at, contestant in enumerate(contestants)
        if at != reference
    ]


def _seeds(contestants: Sequence[Contestant], comparison: Comparison) -> list[SeedsResult]:
    """Contestants that differ in their seed alone, told by mean and spread."""
    seeded = [
        (contestant.family, contestant.seed, comparison.figures(at))
        for at, contestant in enumerate(contestants)
        if contestant.family and contestant.seed is not None
    ]
    found = []
    for family, spread in over_seeds(seeded).items():
        alike = [contestant for contestant in contestants if contestant.family == family]
        names = {contestant.seed: contestant.name for contestant in alike}
        values = {field.name: getattr(spread, field.name) for field in fields(spread)}
        found.append(
            SeedsResult(
                **values, method=alike[0].method, models=[names[seed] for seed in spread.seeds]
            )
        )
    return found


def _reference(contestants: Sequence[Contestant], wanted: str | None) -> int:
    names = [contestant.name for contestant in contestants]
    methods = [contestant.method for contestant in contestants]
    if wanted is None:
        return 0
    if wanted in names:
        return names.index(wanted)
    if methods.count(wanted) == 1:
        return methods.index(wanted)
    beginning = [at for at, name in enumerate(names) if name.startswith(wanted)]
    if len(beginning) == 1:
        return beginning[0]
    raise UsageError(
        f"the reference {wanted!r} is not evaluated",
        where="--reference",
        hint=did_you_mean(wanted, names, by_beginning=True),
    )


def result_of(
    contestants: Sequence[Contestant],
    store: InteractionsStore,
    rows: Rows,
    settings: EvaluateRecipe,
    seed: int,
    *,
    models: Sequence[ModelResult] = (),
    differences: Sequence[PairResult] = (),
    plan: Sequence[Planned] = (),
    reference: str | None = None,
    up_to_date: bool = False,
    seconds: float,
    artefact: str = "",
    slices: Sequence[Slice] = (),
    seeds: Sequence[SeedsResult] = (),
) -> EvaluateResult:
    """The result with what the rows say of themselves filled in; without models, a dry run's."""
    of = len(store.split(settings.split))
    return EvaluateResult(
        dataset=store.header.dataset,
        split=settings.split,
        rows=len(rows),
        of=of,
        subset=len(rows) < of,
        rows_hash=rows_hash(rows),
        seed=seed,
        resamples=settings.resamples,
        confidence=settings.confidence,
        reference=reference or contestants[0].name,
        models=list(models),
        differences=list(differences),
        plan=list(plan),
        up_to_date=up_to_date,
        dry_run=not models,
        seconds=seconds,
        artefact=artefact,
        slices=list(slices),
        seeds=list(seeds),
    )
