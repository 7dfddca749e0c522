"""``reclora prepare --audit``: what lies in the workspace is read again and proved leak-free.

Every artefact of the dataset is looked at, part by part: the store, indexes, runs with their
shots, and score files of runs, CRMs and the untuned LM. A kind of file that is added later
(candidate sets) joins as one more part in ``_Work.parts``. An artefact that was made from an
earlier store than the one that lies here is named as stale and not compared with it: the stages
refuse it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reclora_cli.data.audit import (
    AuditReport,
    Check,
    StoredReduction,
    Ties,
    audit_store,
    ranked_are_past,
    ranked_are_the_best,
    reduction_is_fitted_on,
    shots_are_the_sample,
    shots_are_train,
    ties,
    unseen_values_are_unknown,
)
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import CheckError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.retrieval.past import REDUCED, RankedPast
from reclora_cli.retrieval.pca import Reduction
from reclora_cli.retrieval.ranked_file import RANKED
from reclora_cli.scoring.kept_scores import metadata, store_identity
from reclora_cli.scoring.score_checks import score_file_checks
from reclora_cli.stages import locate, runs
from reclora_cli.stages.item_vectors import VECTORS
from reclora_cli.workspace import Artefact, Stopwatch, Workspace

READABLE = "its files can be read"
RANKED_NOW = 4_096
"""Rows whose past is ranked and checked for an index that ranks when it is asked."""


@dataclass(frozen=True)
class AuditedPart:
    """One artefact or file, and what was proved of it.

    Attributes:
        kind: ``store``, ``index``, ``run`` or ``scores``.
        name: of the artefact; of scores, with the file.
    """

    kind: str
    name: str
    checks: list[Check]

    @property
    def held(self) -> bool:
        return all(check.held for check in self.checks)


@dataclass(frozen=True)
class Stale:
    """Something that was not compared with the store, and why."""

    kind: str
    name: str
    why: str


@dataclass(frozen=True)
class AuditResult:
    """What an audit of a workspace's dataset found.

    Attributes:
        held: whether every check of every part holds.
        tie_setting: ``data.ties`` of the store: ``include`` or ``exclude``.
        timed: whether interactions carry times; without, there are no ties.
        ties: of each split: rows with behaviours of their own second before them, and what
            ``exclude`` takes from histories, whatever the setting is.
        stale: what was left out.
    """

    dataset: str
    held: bool
    tie_setting: str
    timed: bool
    parts: list[AuditedPart]
    ties: list[Ties]
    stale: list[Stale]
    seconds: float
    artefact: str

    @property
    def complaint(self) -> str:
        """Every check that does not hold, with the part it is of; empty when all hold."""
        return "; ".join(
            f"{part.name}: {AuditReport(tuple(part.checks)).complaint}"
            for part in self.parts
            if not part.held
        )

    def require(self) -> AuditResult:
        """The result itself when everything held.

        Raises:
            CheckError: naming every check that did not hold.
        """
        if not self.held:
            raise CheckError(f"the audit does not hold: {self.complaint}", where=self.artefact)
        return self


def run(recipe: Recipe, workspace: Workspace, progress: Progress = SILENT) -> AuditResult:
    """Audit everything of the dataset that ``recipe.data`` names; nothing is written.

    Raises:
        MissingInputError: the dataset is not prepared.
    """
    watch = Stopwatch()
    artefact = locate.store(recipe, workspace)
    locate.require(artefact, "prepared dataset", locate.prepare_command(recipe))
    work = _Work(InteractionsStore(artefact.path), artefact, workspace, recipe.data.source)
    parts = []
    with progress.task(f"audit {recipe.data.source}", unit="checks") as task:
        for part in work.parts():
            parts.append(part)
            task.advance(len(part.checks))
    header, sound = work.store.header, parts[0].checks[0].held
    return AuditResult(
        dataset=header.dataset,
        held=all(part.held for part in parts),
        tie_setting=header.ties,
        timed=header.timed,
        parts=parts,
        ties=ties(work.store) if sound else [],
        stale=work.stale,
        seconds=watch.seconds,
        artefact=str(artefact.path),
    )


@dataclass
class _Work:
    """One audit."""

    store: InteractionsStore
    artefact: Artefact
    workspace: Workspace
    dataset: str
    stale: list[Stale] = field(default_factory=list)

    def parts(self) -> Iterator[AuditedPart]:
        """Every part; of a store that cannot be read as its header says, only the store."""
        checks = audit_store(self.store)
        sound = checks[0].held
        if sound:
            checks.append(unseen_values_are_unknown(self.store, FeatureSpace(self.store)))
        yield AuditedPart("store", "store", checks)
        if sound:
            yield from self._indexes()
            yield from self._runs()
            yield from self._scores()

    def _indexes(self) -> Iterator[AuditedPart]:
        for index in self._of_this_store("index"):
            yield AuditedPart("index", index.name, _read(self._index_checks, index))

    def _index_checks(self, index: Artefact) -> list[Check]:
        manifest = index.manifest()
        assert manifest is not None
        reduction, reduced = Reduction.load(index.path), _array(index.path / REDUCED)
        stored = StoredReduction(
            _array(index.path / VECTORS), reduction.mean, reduction.components, reduced
        )
        checks = reduction_is_fitted_on(stored, self.store.seen_items)
        if not all(check.held for check in checks[:1]) or len(reduced) != self.store.header.items:
            return checks
        retriever = manifest.recipe["retriever"]
        rows = None
        if retriever.get("rows", "all") == "all":
            ranked = _array(index.path / RANKED)
        else:
            n = len(self.store)
            rows = np.unique(np.linspace(0, n - 1, min(n, RANKED_NOW)).astype(np.int64))
            ranked = RankedPast(self.store, reduced, int(retriever["long"])).of(rows)
        past = ranked_are_past(self.store, ranked, rows)
        if all(check.held for check in past):
            past.append(ranked_are_the_best(self.store, ranked, reduced, rows))
        return checks + past

    def _runs(self) -> Iterator[AuditedPart]:
        for artefact in self._of_this_store("runs"):
            yield AuditedPart("run", artefact.name, _read(self._shot_checks, artefact))

    def _shot_checks(self, artefact: Artefact) -> list[Check]:
        run = runs.opened(artefact)
        assert run is not None, "finished ones only"
        shots = np.load(artefact.path / runs.SHOTS_FILE)
        settings = run.recipe.finetune
        return [
            *shots_are_train(self.store, shots),
            shots_are_the_sample(self.store, shots, settings.shots, run.recipe.seed),
        ]

    def _scores(self) -> Iterator[AuditedPart]:
        """Score files say themselves which store their rows are of; the oldest do not."""
        folder, current = self.workspace.dataset(self.dataset), store_identity(self.store)
        for file in sorted(folder.glob("*/*/scores/*.parquet")):
            told, name = metadata(file), str(file.relative_to(folder))
            if told and told.get("store") == current:
                yield AuditedPart("scores", name, score_file_checks(self.store, file))
            elif told:
                why = "of another store" if "store" in told else "does not say of which store"
                self.stale.append(Stale("scores", name, why))

    def _of_this_store(self, kind: str) -> Iterator[Artefact]:
        """Finished artefacts made from the store as it lies here."""
        current = self.artefact.identity()
        for artefact in self.workspace.artefacts(self.dataset, kind):
            manifest = artefact.manifest()
            if manifest is None:
                self.stale.append(Stale(kind, artefact.name, "unfinished"))
            elif manifest.inputs.get("store") != current:
                self.stale.append(Stale(kind, artefact.name, "made from another store"))
            else:
                yield artefact


def _array(file: Path) -> np.ndarray:
    return np.load(file, mmap_mode="r")


def _read(checks: Callable[[Artefact], list[Check]], artefact: Artefact) -> list[Check]:
    """``checks`` of an artefact; a file that is missing or damaged is a check that fails."""
    try:
        return checks(artefact)
    except (OSError, ValueError, EOFError) as error:
        return [Check(READABLE, False, 0, str(error))]
