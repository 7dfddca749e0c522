"""prepare: a dataset's original files to the interactions store, audited."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reclora_cli.data import schema
from reclora_cli.data.audit import AuditReport, audit
from reclora_cli.data.building.build import Built, build_store, require_both_classes
from reclora_cli.data.download import Confirm, fetch, known_hash
from reclora_cli.data.features import FeatureSpace, feature_count, field_count
from reclora_cli.data.sources.base import Source
from reclora_cli.data.sources.find import find_source, own_file
from reclora_cli.data.store import InteractionsStore, Ints
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate
from reclora_cli.stages.own_recipe import keep_recipe
from reclora_cli.workspace import (
    Artefact,
    Manifest,
    Stopwatch,
    Workspace,
    atomic_folder,
)


@dataclass(frozen=True)
class PrepareResult:
    """What a prepared dataset holds; counts as Table 1 of the paper counts.

    Attributes:
        samples: rows of all splits.
        fields: of a row: the user's, the item's, history item and history rating.
        features: values of all fields, and rating values.
        behaviours: interactions in the store, those of the warm-up included.
        read: interactions that were read; ``left_out`` says by reason how many are not in it.
        timed: whether interactions carry times; otherwise their order is the file's.
        base_rate: share of likes among all rows; ``base_rates`` by split.
        base_rate_from: rating -> share of rows rated so or higher: the base rate under each
            reading of "like".
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
    read: int
    left_out: dict[str, int]
    timed: bool
    base_rate: float
    base_rate_from: dict[str, float]
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
    confirm: Confirm | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> PrepareResult:
    """Fetch, read, build and audit the dataset that ``recipe.data`` names.

    Args:
        recipe: its ``data`` section decides everything here.
        workspace: where the store is written.
        progress: told what happens.
        given: folder or zip of the original files; without it they are downloaded once. Of data
            of one's own: the file of the interactions, unless the recipe names it.
        confirm: asks a person to accept the terms of use before the first download; ``None``:
            there is nobody to ask.
        force: write the store anew even when it is up to date.
        dry_run: build and audit in a temporary folder, and leave the workspace as it is
            (originals that are downloaded for it stay in the cache).

    Raises:
        UsageError: unknown dataset, or its terms of use are not accepted and nobody can be asked.
        MissingInputError: the files cannot be had.
        RecloraError: a file has a line that does not fit.
        CheckError: a checksum or the audit does not hold.
    """
    source = find_source(recipe.data)
    given = given or own_file(recipe.data)
    watch = Stopwatch()
    artefact = locate.store(recipe, workspace)
    folder = None if given is None else fetch(source, given=given, progress=progress)
    if not force and _is_current(artefact, recipe, folder, source, progress):
        if not dry_run:
            artefact.count_as_latest()
            if folder is not None:
                keep_recipe(recipe, workspace, folder)
        return replace(_told_again(artefact), seconds=watch.seconds, dry_run=dry_run)
    if folder is None:
        folder = fetch(source, confirm=confirm, thorough=force, progress=progress)
    if dry_run:
        with tempfile.TemporaryDirectory() as temporary:
            result = _make(source, recipe, folder, Path(temporary), progress)
    else:
        with workspace.writing():
            sweep(artefact.path)
            with atomic_folder(artefact.path) as unfinished:
                result = _make(source, recipe, folder, unfinished, progress)
            result = replace(result, artefact=str(artefact.path), seconds=watch.seconds)
            artefact.finish(_manifest(recipe, result))
        keep_recipe(recipe, workspace, folder)
    return replace(result, artefact=str(artefact.path), seconds=watch.seconds, dry_run=dry_run)


def sweep(store: Path) -> None:
    """Remove what a killed process left beside ``store``: the workspace is held, none is at it."""
    for ending in ("part", "old"):
        for left in store.parent.glob(f".{store.name}.*.{ending}"):
            shutil.rmtree(left, ignore_errors=True)


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
    return {name: known_hash(file) for name, file in source.find_files(folder).items()}


def _make(
    source: Source, recipe: Recipe, originals: Path, folder: Path, progress: Progress
) -> PrepareResult:
    """Build the store in ``folder``, audit it there, and say what it holds."""
    built = build_store(source.read(originals), source, recipe.data, folder, progress)
    store = InteractionsStore(folder)
    require_both_classes(store)
    report = audit(store, features=FeatureSpace(store)).require(source.name)
    return _describe(store, built, report, _hashes(source, originals))


def _describe(
    store: InteractionsStore, built: Built, report: AuditReport, files: dict[str, str]
) -> PrepareResult:
    header = store.header
    ratings = {name: _rating_counts(store, name) for name in schema.SPLITS}
    of_all = np.sum(list(ratings.values()), axis=0)
    likes = np.asarray(header.rating_values) >= header.like_from
    from_here = of_all[::-1].cumsum()[::-1] / of_all.sum()
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
        read=built.read,
        left_out=dict(built.left_out),
        timed=header.timed,
        base_rate=_share(of_all[likes].sum() / of_all.sum()),
        base_rate_from={
            f"{value:g}": _share(share)
            for value, share in zip(header.rating_values, from_here.tolist(), strict=True)
        },
        base_rates={name: _share(of[likes].sum() / of.sum()) for name, of in ratings.items()},
        unseen_users={name: _share(_unseen_users(store, name)) for name in schema.SPLITS},
        audit=[asdict(check) for check in report.checks],
        files=files,
        up_to_date=False,
        dry_run=False,
        seconds=0.0,
        artefact="",
    )


def _rating_counts(store: InteractionsStore, split: str) -> Ints:
    """How many rows of a split carry each rating, (ratings,) int64."""
    rows = store.split(split)
    codes = store.rating[store.row_position[rows.start : rows.stop]]
    return np.bincount(codes, minlength=len(store.header.rating_values))


def _unseen_users(store: InteractionsStore, split: str) -> float:
    """Share of a split's rows whose user has no training row."""
    rows = store.split(split)
    return float(1 - store.seen_users[store.row_user(slice(rows.start, rows.stop))].mean())


def _share(of: float) -> float:
    return round(float(of), 6)


def _manifest(recipe: Recipe, result: PrepareResult) -> Manifest:
    return Manifest(
        stage="prepare",
        fingerprint=locate.fingerprint_of("prepare", recipe),
        recipe=locate.recipe_parts("prepare", recipe),
        inputs=result.files,
        figures=asdict(result),
        seconds=result.seconds,
    )
