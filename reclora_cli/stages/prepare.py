"""prepare: a dataset's original files to the interactions store, audited."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reclora_cli import catalog
from reclora_cli.data import schema
from reclora_cli.data.audit import AuditReport, audit
from reclora_cli.data.build import build_store
from reclora_cli.data.download import fetch
from reclora_cli.data.features import FeatureSpace, feature_count, field_count
from reclora_cli.data.sources.base import Source
from reclora_cli.data.store import InteractionsStore, Ints
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate
from reclora_cli.workspace import (
    Artefact,
    Manifest,
    Stopwatch,
    Workspace,
    atomic_folder,
    hash_file,
)


@dataclass(frozen=True)
class PrepareResult:
    """What a prepared dataset holds; counts as Table 1 of the paper counts.

    Attributes:
        samples: rows of all splits.
        fields: of a row: the user's, the item's, history item and history rating.
        features: values of all fields, and rating values.
        behaviours: interactions, those of the warm-up included.
        base_rate: share of likes among all rows; ``base_rates`` by split.
        unseen_users: share of each split's rows whose user has no training row.
        audit: the checks that were made on what was written.
        files: SHA-256 of each original file.
    """

    dataset: str
    users: int
    items: int
    samples: int
    fields: int
    features: int
    train: int
    valid: int
    test: int
    behaviours: int
    base_rate: float
    base_rates: dict[str, float]
    unseen_users: dict[str, float]
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
    force: bool = False,
    dry_run: bool = False,
) -> PrepareResult:
    """Fetch, read, build and audit the dataset that ``recipe.data`` names.

    Args:
        recipe: its ``data`` section decides everything here.
        workspace: where the store is written.
        progress: told what happens.
        given: folder or zip of the original files; without it they are downloaded once.
        force: write the store anew even when it is up to date.
        dry_run: build and audit in a temporary folder, and leave the workspace as it is
            (originals that are downloaded for it stay in the cache).

    Raises:
        UsageError: unknown dataset.
        MissingInputError: the files cannot be had.
        RecloraError: a file has a line that does not fit.
        CheckError: a checksum or the audit does not hold.
    """
    source: Source = catalog.DATASETS.load(recipe.data.source, where="data.source")
    watch = Stopwatch()
    artefact = locate.store(recipe, workspace)
    folder = None if given is None else fetch(source, given=given, progress=progress)
    if not force and _is_current(artefact, recipe, folder, source, progress):
        return replace(_told_again(artefact), seconds=watch.seconds, dry_run=dry_run)
    if folder is None:
        folder = fetch(source, progress=progress)
    if dry_run:
        with tempfile.TemporaryDirectory() as temporary:
            result = _make(source, recipe, folder, Path(temporary), progress)
    else:
        with workspace.writing():
            with atomic_folder(artefact.path) as unfinished:
                result = _make(source, recipe, folder, unfinished, progress)
            result = replace(result, artefact=str(artefact.path), seconds=watch.seconds)
            artefact.finish(_manifest(recipe, result))
    return replace(result, artefact=str(artefact.path), seconds=watch.seconds, dry_run=dry_run)


def _is_current(
    artefact: Artefact, recipe: Recipe, folder: Path | None, source: Source, progress: Progress
) -> bool:
    manifest = artefact.manifest()
    if manifest is None:
        return False
    inputs = manifest.inputs if folder is None else _hashes(source, folder)
    changed = artefact.changes(locate.fingerprint_of("prepare", recipe), inputs)
    if changed:
        progress.say(f"{source.name} is prepared anew: {', '.join(changed)} changed")
    return changed == []


def _told_again(artefact: Artefact) -> PrepareResult:
    manifest = artefact.manifest()
    assert manifest is not None
    return PrepareResult(**{**manifest.figures, "up_to_date": True, "artefact": str(artefact.path)})


def _hashes(source: Source, folder: Path) -> dict[str, str]:
    return {name: hash_file(folder / name) for name in source.files}


def _make(
    source: Source, recipe: Recipe, originals: Path, folder: Path, progress: Progress
) -> PrepareResult:
    """Build the store in ``folder``, audit it there, and say what it holds."""
    with progress.task(f"prepare {source.name}", total=3, unit="steps") as task:
        raw = source.read(originals)
        task.advance()
        build_store(raw, source, recipe.data, folder)
        task.advance()
        store = InteractionsStore(folder)
        report = audit(store, features=FeatureSpace(store)).require(source.name)
        task.advance()
    return _describe(store, report, _hashes(source, originals))


def _describe(
    store: InteractionsStore, report: AuditReport, files: dict[str, str]
) -> PrepareResult:
    header = store.header
    rows = {name: np.asarray(store.split(name)) for name in schema.SPLITS}
    train, valid, test = header.split_rows
    return PrepareResult(
        dataset=header.dataset,
        users=header.users,
        items=header.items,
        samples=header.rows,
        fields=field_count(store),
        features=feature_count(store),
        train=train,
        valid=valid,
        test=test,
        behaviours=header.behaviours,
        base_rate=_share(store.row_label(np.arange(len(store)))),
        base_rates={name: _share(store.row_label(of)) for name, of in rows.items()},
        unseen_users={
            name: _share(~store.seen_users[store.row_user(of)]) for name, of in rows.items()
        },
        audit=[asdict(check) for check in report.checks],
        files=files,
        up_to_date=False,
        dry_run=False,
        seconds=0.0,
        artefact="",
    )


def _share(of: Ints) -> float:
    return round(float(np.mean(of)), 6)


def _manifest(recipe: Recipe, result: PrepareResult) -> Manifest:
    return Manifest(
        stage="prepare",
        fingerprint=locate.fingerprint_of("prepare", recipe),
        recipe=locate.recipe_parts("prepare", recipe),
        inputs=result.files,
        figures=asdict(result),
        seconds=result.seconds,
    )
