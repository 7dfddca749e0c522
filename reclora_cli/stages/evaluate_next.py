"""``reclora evaluate`` of the task ``next``: who picks what came next among the kept candidates.

A model that answers in words is told twice: by the words it says, which may name no candidate, and
by how likely it holds each candidate's title, which always ranks all of them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from reclora_cli import device as devices
from reclora_cli import processes
from reclora_cli.data.sequences.rows import Ints
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.errors import UsageError, did_you_mean
from reclora_cli.metrics.choices import normalised
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe, fingerprint
from reclora_cli.scoring.choice_files import Choices, choices, lacking
from reclora_cli.seeding import numpy_stream
from reclora_cli.stages import evaluation_next_tables as tables
from reclora_cli.stages import locate
from reclora_cli.stages.next_contestants import NextContestant, assemble_next
from reclora_cli.stages.next_evaluated import (
    EvaluateNextResult,
    Measured,
    NextModelResult,
    NextPlanned,
    pair,
)
from reclora_cli.workspace import Stopwatch, Workspace, write_json

_PROBED_ROWS = 3


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    runs: Sequence[str] = (),
    lm: bool = True,
    encoder: bool = True,
    encoders: Sequence[Recipe] = (),
    zero_shot: bool = False,
    reference: str | None = None,
    save: Sequence[Path] = (),
    device: str = "auto",
    force: bool = False,
    dry_run: bool = False,
) -> EvaluateNextResult:
    """Let every model choose among the same candidates; compare them, and keep the result.

    Args:
        runs: names of runs; without any, the latest finished one.
        lm: ``False`` evaluates no run.
        encoder: also the sequence encoder that the runs read (or the recipe's), and popularity.
        encoders: recipes whose encoders are asked instead.
        zero_shot: also the LM untuned.
        reference: the model that the others are held against; the first one by default.
        save: also write the result into these files: as JSON, or as tables.
        force: score anew what is kept.
        dry_run: say what scoring would take, from a few rows scored now; nothing is written.

    Raises:
        UsageError: unknown run or reference, more rows than the split has, or a file to save of no
            known format.
        MissingInputError: nothing to evaluate, or something it was made from is gone.
    """
    for file in save:
        tables.check_format(file)
    processes.require_alone("evaluate of the task next")
    watch, chosen = Stopwatch(), devices.pick(device)
    artefact = locate.store(recipe, workspace)
    locate.require(artefact, "prepared sequences", locate.prepare_command(recipe))
    store = SequenceStore(artefact.path)
    ids = choose_ids(store, recipe)
    found = assemble_next(
        recipe,
        workspace,
        chosen,
        progress,
        named=runs,
        lm=lm,
        encoder=encoder,
        encoders=encoders,
        zero_shot=zero_shot,
    )
    against = _reference(found, reference)
    if dry_run:
        result = _about(recipe, store, ids, found, against)
        plan = _plan(found, recipe, store, ids, force=force)
        return replace(result, plan=plan, seconds=watch.seconds)
    with workspace.writing():
        result = _compared(recipe, workspace, store, ids, found, against, progress, force=force)
        result = replace(result, seconds=watch.seconds, saved=[str(file) for file in save])
        write_json(Path(result.artefact), asdict(result))
    for file in save:
        tables.save(result, file)
    return result


def choose_ids(store: SequenceStore, recipe: Recipe) -> Ints:
    """Rows to be scored, ascending: the split, or the first of one permutation of it.

    Raises:
        UsageError: the split has fewer rows than asked for.
    """
    settings, known = recipe.evaluate, len(store.split(recipe.evaluate.split))
    if settings.rows > known:
        raise UsageError(
            f"{settings.rows:,} rows asked for, and {settings.split} has {known:,}",
            where="--rows",
            hint="Leave --rows away to score every row.",
        )
    order = numpy_stream(recipe.seed, "evaluate", settings.split).permutation(known)
    return np.sort(order[: settings.rows or known])


def _compared(
    recipe: Recipe,
    workspace: Workspace,
    store: SequenceStore,
    ids: Ints,
    found: Sequence[NextContestant],
    against: int,
    progress: Progress,
    *,
    force: bool,
) -> EvaluateNextResult:
    settings, split = recipe.evaluate, recipe.evaluate.split
    asked = [_asked(one, store, split, ids, progress, force=force) for one in found]
    titles = store.items["title"].astype(str).to_numpy()[store.candidates(split)[ids]].tolist()
    measured = [Measured(scores, store.truth(split)[ids], titles) for scores in asked]
    held, ambiguous = measured[against], _ambiguous(titles)
    about = _about(recipe, store, ids, found, against)
    name = fingerprint([one.chooser.identity for one in found])[:8]
    folder = workspace.dataset(recipe.data.source) / "evaluations-next"
    return replace(
        about,
        dry_run=False,
        models=[
            NextModelResult(
                name=one.name,
                kind=one.kind,
                method=one.method,
                identity=one.chooser.identity,
                figures=own.figures(settings, recipe.seed),
                ambiguous=ambiguous,
                ambiguous_answers=int((own.words.matches > 1).sum()) if own.words else None,
                scored=scores.scored,
                seconds=scores.seconds,
                scores=str(scores.file),
            )
            for one, own, scores in zip(found, measured, asked, strict=True)
        ],
        differences=[
            pair((one.name, found[against].name), own, held, settings, recipe.seed)
            for one, own in zip(found, measured, strict=True)
            if own is not held
        ],
        up_to_date=not any(scores.scored for scores in asked),
        artefact=str(folder / f"{split}-{about.rows_hash[:12]}-{name}.json"),
    )


def _asked(
    one: NextContestant,
    store: SequenceStore,
    split: str,
    ids: Ints,
    progress: Progress,
    *,
    force: bool,
) -> Choices:
    try:
        return choices(one.chooser, store, split, ids, one.folder, progress, force=force)
    finally:
        one.chooser.close()


def _ambiguous(titles: Sequence[Sequence[str]]) -> int:
    """Rows of whose candidates two read the same."""
    return sum(len({normalised(title) for title in row}) < len(row) for row in titles)


def _reference(found: Sequence[NextContestant], wanted: str | None) -> int:
    """Which contestant is called ``wanted``, by name, method or how its name begins."""
    if wanted is None:
        return 0
    names = [one.name for one in found]
    for known in (names, [one.method for one in found]):
        if known.count(wanted) == 1:
            return known.index(wanted)
    begins = [at for at, name in enumerate(names) if name.startswith(wanted)]
    if len(begins) == 1:
        return begins[0]
    raise UsageError(
        f"{wanted!r} is none of the models, or several",
        where="--reference",
        hint=did_you_mean(wanted, names, by_beginning=True),
    )


def _about(
    recipe: Recipe,
    store: SequenceStore,
    ids: Ints,
    found: Sequence[NextContestant],
    against: int,
) -> EvaluateNextResult:
    settings, header = recipe.evaluate, store.header
    known = len(store.split(settings.split))
    target = store.split(settings.split).target[ids]
    return EvaluateNextResult(
        dataset=recipe.data.source,
        split=settings.split,
        rows=len(ids),
        of=known,
        subset=len(ids) < known,
        rows_hash=hashlib.sha256(np.asarray(ids, dtype=np.int64).tobytes()).hexdigest(),
        candidates=header.candidates,
        chance=1 / header.candidates,
        candidates_sha256=header.candidates_sha256[settings.split],
        unseen_targets=int((~store.seen_items[target]).sum()),
        seed=recipe.seed,
        resamples=settings.resamples,
        confidence=settings.confidence,
        reference=found[against].name,
        models=[],
        differences=[],
        up_to_date=False,
        dry_run=True,
        seconds=0.0,
        artefact="",
    )


def _plan(
    found: Sequence[NextContestant], recipe: Recipe, store: SequenceStore, ids: Ints, *, force: bool
) -> list[NextPlanned]:
    split, planned = recipe.evaluate.split, []
    for one in found:
        missing = ids if force else lacking(one.chooser, store, split, ids, one.folder)
        seconds = _predicted(one, split, missing) if len(missing) else 0.0
        planned.append(NextPlanned(one.name, one.kind, one.method, len(missing), seconds))
    return planned


def _predicted(one: NextContestant, split: str, ids: Ints) -> float:
    """Seconds that scoring ``ids`` takes, from a few of them scored now."""
    probe = ids[np.linspace(0, len(ids) - 1, min(_PROBED_ROWS, len(ids))).astype(np.int64)]
    try:
        one.chooser.choose(split, probe[:1])  # Loads the model.
        start = time.perf_counter()
        one.chooser.choose(split, probe)
        return (time.perf_counter() - start) / len(probe) * len(ids)
    finally:
        one.chooser.close()
