"""``reclora build-index``: item vectors by the LM, PCA, and each row's past ranked by similarity.

Files of the artefact:
    vectors.npy                       (n_items, d) float32 as the encoder gives them
    pca_mean.npy, pca_components.npy  fitted on the items of training rows only
    reduced.npy                       (n_items, p) float32 of unit length
    catalogue.faiss                   index over ``reduced``
    ranked.npy                        (n_rows, long) int32 positions, best first, -1 after the end;
                                      not where ``retriever.rows`` is ``needed``
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from reclora_cli import device as devices
from reclora_cli.data.audit import audit
from reclora_cli.data.store import InteractionsStore
from reclora_cli.encoding.items import encode_items
from reclora_cli.encoding.tokens import TokenTable
from reclora_cli.lm.find import find
from reclora_cli.lm.load import LoadedLm, load, load_encoder
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.find import find_template
from reclora_cli.prompt.write import PromptWriter
from reclora_cli.recipe import Recipe, fingerprint
from reclora_cli.retrieval.catalogue import CATALOGUE, CatalogueIndex, Recall
from reclora_cli.retrieval.past import REDUCED, rows_asked
from reclora_cli.retrieval.pca import Reduction
from reclora_cli.retrieval.ranked import Ranker
from reclora_cli.retrieval.ranked_file import RANKED, write_ranked
from reclora_cli.stages import item_vectors, locate
from reclora_cli.stages.similar import SimilarResult, similar
from reclora_cli.workspace import Artefact, Manifest, Stopwatch, Workspace, hash_file

__all__ = ["BuildIndexResult", "SimilarResult", "run", "similar"]

_PROBED_ITEMS = 64


@dataclass(frozen=True)
class BuildIndexResult:
    """What an index holds, or (``dry_run``) what making it would take.

    Attributes:
        encoder: name of the model; ``width`` of its vectors.
        dimensions: kept by PCA, with the share ``explained`` of the variance.
        fitted_items: items of training rows, which PCA was fitted on.
        long: behaviours ranked for each of ``rows``; ``ranked_rows`` says all at once, or those
            that a stage needs when it needs them.
        full_rows: rows whose past holds at least ``long`` behaviours.
        catalogue: kind of the index that ``--similar`` asks, and what it finds of the 10 and the
            100 items that comparing every item finds.
        encoded: texts encoded now, equal ones once; the others were kept from before.
        tokens: of all item texts; of a dry run only.
        estimated_seconds: of encoding what is not kept, from items encoded just now; likewise.
    """

    dataset: str
    encoder: str
    items: int
    width: int | None
    dimensions: int
    explained: float | None
    fitted_items: int
    rows: int
    long: int
    ranked_rows: str
    full_rows: int
    catalogue: str | None
    recall_at_10: float | None
    recall_at_100: float | None
    encoded: int
    encode_seconds: float
    rank_seconds: float
    tokens: int | None
    estimated_seconds: float | None
    up_to_date: bool
    dry_run: bool
    seconds: float
    artefact: str


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    device: str = "auto",
    force: bool = False,
    dry_run: bool = False,
) -> BuildIndexResult:
    """Encode every item, reduce, and rank every row's strict past.

    Args:
        force: make it anew, vectors too, even when it is up to date.
        dry_run: say items, tokens and seconds; write nothing.

    Raises:
        MissingInputError: the dataset is not prepared, or the encoder cannot be had.
    """
    chosen = devices.pick(device)
    artefact = locate.index(recipe, workspace)
    work = _Work(recipe, workspace, artefact, chosen, progress, _open_store(recipe, workspace))
    if dry_run:
        return work.plan(force)
    if work.changes() == [] and not force:
        return _told_again(artefact)  # Without a hold: `show` reads while another process trains.
    with workspace.writing():
        return _told_again(artefact) if work.is_current(force) else work.make(force)


def _open_store(recipe: Recipe, workspace: Workspace) -> InteractionsStore:
    artefact = locate.store(recipe, workspace)
    locate.require(artefact, "prepared dataset", locate.prepare_command(recipe))
    return InteractionsStore(artefact.path)


def _told_again(artefact: Artefact) -> BuildIndexResult:
    manifest = artefact.manifest()
    assert manifest is not None
    again = {"up_to_date": True, "artefact": str(artefact.path), "encoded": 0}
    return BuildIndexResult(**{**manifest.figures, **again})


@dataclass(frozen=True)
class _Work:
    """One making of an index."""

    recipe: Recipe
    workspace: Workspace
    artefact: Artefact
    device: torch.device
    progress: Progress
    store: InteractionsStore

    @property
    def encoder(self) -> str:
        named = self.recipe.retriever.encoder
        return self.recipe.lm.name if named == "lm" else named

    def open_lm(self) -> LoadedLm:
        if self.recipe.retriever.encoder == "lm":
            return load(self.recipe.lm, self.device, self.progress)
        return load_encoder(self.encoder, self.device, self.progress)

    def changes(self) -> list[str] | None:
        """What is not as the index was made from; ``None``: there is no index."""
        inputs = locate.inputs_of("build-index", self.recipe, self.workspace)
        return self.artefact.changes(locate.fingerprint_of("build-index", self.recipe), inputs)

    def is_current(self, force: bool) -> bool:
        changed = self.changes()
        if changed and not force:
            self.progress.say(f"the index is made anew: {', '.join(changed)} changed")
        return changed == [] and not force

    def make(self, force: bool) -> BuildIndexResult:
        watch = Stopwatch()
        folder = self.artefact.path
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.part"):
            left.unlink()  # of a killed process: the workspace is held, none is at it
        self.artefact.unfinish()
        reduction, encoded, encode_seconds = self._reduced(force)
        catalogue, recall = self._catalogue()
        ranking = Stopwatch()
        if self.recipe.retriever.rows == "all":
            self._rank()
        result = replace(
            self._described(reduction.dimensions),
            width=len(reduction.mean),
            explained=round(reduction.explained, 4),
            catalogue=catalogue,
            recall_at_10=recall.at_10,
            recall_at_100=recall.at_100,
            encoded=encoded,
            encode_seconds=encode_seconds,
            rank_seconds=ranking.seconds,
            seconds=watch.seconds,
        )
        self._finish(result)
        return result

    def plan(self, force: bool) -> BuildIndexResult:
        """Encode a few items and extrapolate."""
        watch = Stopwatch()
        texts = self._texts()
        lm = self.open_lm()
        tokens = len(TokenTable.of(lm, texts).ids)
        kept = None if force else self._kept_elsewhere(self._identity(texts))
        probed = texts[:: max(len(texts) // _PROBED_ITEMS, 1)][:_PROBED_ITEMS]
        start = time.perf_counter()
        encode_items(lm, probed)
        seconds = (time.perf_counter() - start) / len(probed) * len(texts)
        fitted = int(self.store.seen_items.sum())
        return replace(
            self._described(min(self.recipe.retriever.pca, lm.width, fitted - 1)),
            width=lm.width,
            tokens=tokens,
            estimated_seconds=0.0 if kept else round(seconds, 3),
            dry_run=True,
            seconds=watch.seconds,
        )

    def _texts(self) -> list[str]:
        return PromptWriter(self.store, find_template(self.recipe.prompt)).item_texts()

    def _identity(self, texts: list[str]) -> str:
        """Of the vectors: changes with the encoder's weights, its quantisation, and the texts."""
        place = find(self.encoder, self.progress)
        by_lm = self.recipe.retriever.encoder == "lm"
        return fingerprint(place.identity, self.recipe.lm.quantisation if by_lm else "none", texts)[
            :16
        ]

    def _kept_elsewhere(self, identity: str) -> Path | None:
        indexes = self.workspace.artefacts(self.recipe.data.source, "index")
        return item_vectors.find_elsewhere(identity, indexes)

    def _vectors(self, force: bool) -> item_vectors.Encoded:
        folder, texts = self.artefact.path, self._texts()
        identity = self._identity(texts)
        if force:
            (folder / item_vectors.TOLD).unlink(missing_ok=True)
        elsewhere = None if force else self._kept_elsewhere(identity)
        if elsewhere is not None and elsewhere != folder:
            self.progress.say(f"vectors of {self.encoder} are taken from {elsewhere.name}")
            item_vectors.take(elsewhere, identity, folder)
        return item_vectors.encode(texts, identity, folder, self.open_lm, self.progress)

    def _reduced(self, force: bool) -> tuple[Reduction, int, float]:
        """Vectors and reduced vectors into their files; texts encoded now, and in what time."""
        watch, folder = Stopwatch(), self.artefact.path
        encoded = self._vectors(force)
        seconds = watch.seconds
        reduction = Reduction.fit(encoded.vectors, self.store.seen_items, self.recipe.retriever.pca)
        reduction.save(folder)
        reduction.transform_into(folder / REDUCED, encoded.vectors)
        return reduction, encoded.encoded, seconds

    def _catalogue(self) -> tuple[str, Recall]:
        """The catalogue index into its file; its kind, and what it finds."""
        reduced = np.load(self.artefact.path / REDUCED, mmap_mode="r")
        index = CatalogueIndex.build(reduced)
        index.save(self.artefact.path / CATALOGUE)
        return index.kind, index.recall(reduced)

    def _rank(self) -> None:
        """Rank every row, going on where an earlier run was stopped; then prove the file."""
        folder, store = self.artefact.path, self.store
        reduced = np.load(folder / REDUCED, mmap_mode="r")
        ranker = Ranker(reduced, store.item, store.user_start)
        asked = rows_asked(store, slice(None))
        behaviours = locate.store(self.recipe, self.workspace).identity()
        identity = fingerprint(hash_file(folder / REDUCED), behaviours)
        write_ranked(ranker, asked, self.recipe.retriever.long, folder, identity, self.progress)
        # Read again from the disk: what is proved is what was written.
        audit(store, ranked=folder / RANKED).require(str(folder / RANKED))

    def _described(self, dimensions: int) -> BuildIndexResult:
        """What is known before anything is encoded."""
        every = np.arange(len(self.store))
        start, end = self.store.history_bounds(every)
        long = self.recipe.retriever.long
        return BuildIndexResult(
            dataset=self.recipe.data.source,
            encoder=self.encoder,
            items=self.store.header.items,
            width=None,
            dimensions=dimensions,
            explained=None,
            fitted_items=int(self.store.seen_items.sum()),
            rows=len(self.store),
            long=long,
            ranked_rows=self.recipe.retriever.rows,
            full_rows=int(((end - start) >= long).sum()),
            catalogue=None,
            recall_at_10=None,
            recall_at_100=None,
            encoded=0,
            encode_seconds=0.0,
            rank_seconds=0.0,
            tokens=None,
            estimated_seconds=None,
            up_to_date=False,
            dry_run=False,
            seconds=0.0,
            artefact=str(self.artefact.path),
        )

    def _finish(self, result: BuildIndexResult) -> None:
        self.artefact.finish(
            Manifest(
                stage="build-index",
                fingerprint=locate.fingerprint_of("build-index", self.recipe),
                recipe=locate.recipe_parts("build-index", self.recipe),
                inputs=locate.inputs_of("build-index", self.recipe, self.workspace),
                seed=self.recipe.seed,
                figures=asdict(result),
                seconds=result.seconds,
            )
        )
