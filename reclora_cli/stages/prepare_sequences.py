"""prepare, for the task ``next``: published splits or prepared interactions to the sequence store.

Candidates are drawn here, once, from a stream of their own (``next.draw``): every seed, model and
method chooses from the same ones.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reclora_cli import catalog
from reclora_cli.data.audit.report import AuditReport
from reclora_cli.data.download import Confirm
from reclora_cli.data.sequences.audit import audit
from reclora_cli.data.sequences.candidates import draw_candidates
from reclora_cli.data.sequences.rows import Past, Sequences
from reclora_cli.data.sequences.sources import interactions
from reclora_cli.data.sequences.sources.base import SequenceSource
from reclora_cli.data.sequences.store import WITH_CANDIDATES, SequenceStore, write_store
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import MissingInputError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.seeding import numpy_stream
from reclora_cli.stages import locate, prepare
from reclora_cli.workspace import (
    Artefact,
    Manifest,
    Stopwatch,
    Workspace,
    atomic_folder,
    hash_file,
)


@dataclass(frozen=True)
class PrepareSequencesResult:
    """What a prepared dataset of sequences holds.

    Attributes:
        history: items that a row's history has at most; ``candidates``: items to choose from.
        train, valid, test: rows.
        split_by: how rows came into their splits.
        left_out: rows or behaviours that are not in it, by reason.
        shared_names: items whose name another item has too: a name does not tell them apart.
        unseen_targets: split -> rows whose target is in no training row.
        identity: SHA-256 of all rows, candidates and names; ``candidates_sha256`` by split.
        audit: the checks that were made on what was written.
        files: SHA-256 of each original file, or the identity of the interactions store.
    """

    dataset: str
    noun: str
    items: int
    history: int
    candidates: int
    train: int
    valid: int
    test: int
    split_by: str
    left_out: dict[str, int]
    shared_names: int
    unseen_targets: dict[str, int]
    identity: str
    candidates_sha256: dict[str, str]
    audit: list[dict[str, Any]]
    files: dict[str, str]
    up_to_date: bool
    dry_run: bool
    seconds: float
    artefact: str


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    given: Path | None = None,
    confirm: Confirm | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> PrepareSequencesResult:
    """Read, draw candidates, write and audit the sequences of ``recipe.data.source``.

    Args:
        given: folder of the published files; of a dataset of the catalogue or of one's own, what
            ``stages.prepare`` takes, whose store is made first if it is missing.
        confirm, force, dry_run: as ``stages.prepare`` takes them.

    Raises:
        UsageError: an unknown dataset.
        MissingInputError: the files cannot be had.
        RecloraError: a file is damaged or of another dataset, or there are too few candidates.
        CheckError: the audit does not hold.
    """
    watch = Stopwatch()
    artefact = locate.store(recipe, workspace)
    published = recipe.data.source in catalog.SEQUENCE_DATASETS
    if published:
        source: SequenceSource = catalog.SEQUENCE_DATASETS.load(recipe.data.source)
        if given is None and not force and _is_current(artefact, recipe, None, progress):
            return _told_again(artefact, dry_run=dry_run)
        files = source.find_files(given)
        inputs = {name: hash_file(file) for name, file in files.items()}
    else:
        if dry_run:
            _require_interactions(recipe, workspace)
        inputs = _interactions(recipe, workspace, progress, given, confirm)
    if not force and _is_current(artefact, recipe, inputs, progress):
        return _told_again(artefact, dry_run=dry_run)
    sequences = (
        source.read(files, recipe.next) if published else _of_interactions(recipe, workspace)
    )
    if dry_run:
        with tempfile.TemporaryDirectory() as temporary:
            result = _make(recipe, sequences, inputs, Path(temporary), progress)
        return replace(result, seconds=watch.seconds, dry_run=True, artefact=str(artefact.path))
    with workspace.writing():
        prepare.sweep(artefact.path)
        with atomic_folder(artefact.path) as unfinished:
            result = _make(recipe, sequences, inputs, unfinished, progress)
        result = replace(result, seconds=watch.seconds, artefact=str(artefact.path))
        artefact.finish(_manifest(recipe, result))
    return result


def draw(recipe: Recipe, sequences: Sequences, split: str) -> Any:
    """Candidates of one split, (n, C) int32: a function of ``next.draw``, dataset and rows."""

    def past(row: int) -> Any:
        return sequences.past(split, row)

    stream = numpy_stream(recipe.next.draw, "candidates", recipe.data.source, split)
    return draw_candidates(
        sequences.splits[split].target,
        past,
        len(sequences.items),
        recipe.next.candidates,
        stream,
        where=f"{recipe.data.source}, {split}",
    )


def _interactions(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress,
    given: Path | None,
    confirm: Confirm | None,
) -> dict[str, str]:
    """The identity of the interactions store, which is made or renewed first."""
    of_rate = recipe.model_copy(update={"task": "rate"})
    if given is not None or locate.store(of_rate, workspace).changes(
        locate.fingerprint_of("prepare", of_rate), {}
    ) in (None, ["recipe"]):
        progress.say(f"{recipe.data.source}: its interactions are prepared first")
    prepare.run(of_rate, workspace, progress, given=given, confirm=confirm)
    return {"interactions": locate.store(of_rate, workspace).identity()}


def _require_interactions(recipe: Recipe, workspace: Workspace) -> None:
    """A dry run makes no interactions, and without them there is nothing to count.

    Raises:
        MissingInputError: they are not there as the recipe has them.
    """
    of_rate = recipe.model_copy(update={"task": "rate"})
    store = locate.store(of_rate, workspace)
    if store.changes(locate.fingerprint_of("prepare", of_rate), {}) in (None, ["recipe"]):
        raise MissingInputError(
            "a dry run reads the interactions, and they are not prepared",
            where=str(store.path),
            hint=f"Run `{locate.prepare_command(of_rate)}` first.",
        )


def _of_interactions(recipe: Recipe, workspace: Workspace) -> Sequences:
    store = InteractionsStore(workspace.store(recipe.data.source).path)
    return interactions.read(store, recipe.next, recipe.data.split, recipe.data.ties)


def _is_current(
    artefact: Artefact, recipe: Recipe, inputs: Mapping[str, str] | None, progress: Progress
) -> bool:
    manifest = artefact.manifest()
    if manifest is None:
        return False
    fingerprint = locate.fingerprint_of("prepare", recipe)
    changed = artefact.changes(fingerprint, manifest.inputs if inputs is None else inputs)
    if changed:
        progress.say(f"{recipe.data.source} is prepared anew: {', '.join(changed)} changed")
    return changed == []


def _told_again(artefact: Artefact, *, dry_run: bool) -> PrepareSequencesResult:
    manifest = artefact.manifest()
    assert manifest is not None
    if not dry_run:
        artefact.count_as_latest()
    again = {"up_to_date": True, "dry_run": dry_run, "artefact": str(artefact.path)}
    return PrepareSequencesResult(**{**manifest.figures, **again})


def _make(
    recipe: Recipe,
    sequences: Sequences,
    inputs: dict[str, str],
    folder: Path,
    progress: Progress,
) -> PrepareSequencesResult:
    """Draw, write into ``folder``, audit it there, and say what it holds."""
    progress.say(f"{recipe.data.source}: drawing {recipe.next.candidates} candidates a row")
    drawn = {split: draw(recipe, sequences, split) for split in WITH_CANDIDATES}
    write_store(folder, recipe.data.source, sequences, drawn)
    store = SequenceStore(folder)
    report = _audited(store, sequences.past)
    header = store.header
    train, valid, test = header.rows
    told: dict[str, Any] = {key: getattr(header, key) for key in _OF_HEADER}
    return PrepareSequencesResult(
        **told,
        train=train,
        valid=valid,
        test=test,
        left_out=dict(sequences.left_out),
        audit=[asdict(check) for check in report.checks],
        files=inputs,
        up_to_date=False,
        dry_run=False,
        seconds=0.0,
        artefact="",
    )


_OF_HEADER = (
    "dataset",
    "noun",
    "items",
    "history",
    "candidates",
    "split_by",
    "shared_names",
    "unseen_targets",
    "identity",
    "candidates_sha256",
)


def _audited(store: SequenceStore, past: Past) -> AuditReport:
    return audit(store, past).require(store.header.dataset)


def _manifest(recipe: Recipe, result: PrepareSequencesResult) -> Manifest:
    return Manifest(
        stage="prepare",
        fingerprint=locate.fingerprint_of("prepare", recipe),
        recipe=locate.recipe_parts("prepare", recipe),
        inputs=result.files,
        figures=asdict(result),
        seconds=result.seconds,
    )
