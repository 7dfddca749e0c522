"""Per-row scores on disk: kept, found again, and resumed.

One Parquet file for a model, a split and a set of rows: ``<split>-<rows hash>.parquet`` with the
columns ``row_id``, ``label``, ``probability``, and what break-downs read of a row: ``seen_user``,
``seen_item``, ``history_length`` and ``popularity_bin`` (see ``data.slices``). Its metadata tells
which model gave the scores, and of which store; scores of the same model are taken from any file
of the folder, row by row, so a subset of what is already scored costs nothing and an interrupted
scoring goes on where it was. Files of format 1, without the slices, are read like any other and
written anew, from their own scores, when their rows are next asked for.

Several processes score in rounds: each its share of the next rows. All learn what a round found,
and the main one keeps it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.slices import POPULARITY_BOUNDS, RowSlices, row_slices
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError
from reclora_cli.processes import ALONE, Processes
from reclora_cli.progress import SILENT, Progress, RowsOf, Task
from reclora_cli.scoring.kept_scores import (
    METADATA,
    PROBABILITY,
    Probabilities,
    Rows,
    known_scores,
    metadata,
    rows_hash,
    store_identity,
)
from reclora_cli.workspace import atomic_file

ROWS_AT_A_TIME = 256
"""Rows of one process in a round: who is killed loses at most a round and ``_FLUSH_SECONDS``."""

FORMAT = 2
SLICES = tuple(column.name for column in fields(RowSlices))
"""Columns that break-downs read."""
PARTIAL = ".partial.parquet"
"""How the name of a file ends whose scoring was interrupted."""

_FLUSH_SECONDS = 20.0


class Scorer(Protocol):
    """A model that can be asked about stored rows.

    Attributes:
        name: what tables call it.
        identity: changes whenever its scores could; kept scores of another identity are not read.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def score(self, rows: Rows, progress: Progress = SILENT) -> Probabilities:
        """P(yes) of each row, (n,) float64."""
        ...


@dataclass(frozen=True)
class Scores:
    """Scores of a set of rows.

    Attributes:
        probability: (n,) float64, in the order of the rows asked for.
        scored: rows that had to be scored now; the others were kept from before.
        seconds: what scoring all n rows took, whenever that was.
    """

    probability: Probabilities
    scored: int
    seconds: float
    file: Path


def score(
    scorer: Scorer,
    store: InteractionsStore,
    rows: Rows,
    folder: Path,
    *,
    split: str,
    progress: Progress = SILENT,
    force: bool = False,
    together: Processes = ALONE,
) -> Scores:
    """Scores of ``rows``; what ``folder`` lacks is scored and kept there.

    Args:
        rows: (n,) ascending row ids.
        force: score every row anew.
        together: processes that share the rows; each learns all scores, the main one writes.

    Raises:
        RecloraError: the model gives a score that is not a number, or as ``known_scores``.
    """
    file = folder / f"{split}-{rows_hash(rows)}.parquet"
    partial = file.with_name(file.stem + PARTIAL)
    if together.main:
        folder.mkdir(parents=True, exist_ok=True)
        if force:
            partial.unlink(missing_ok=True)
    found, seconds = np.full(len(rows), np.nan), 0.0
    if not force:
        found, seconds = together.from_main(
            lambda: known_scores(scorer.identity, store, rows, folder)
        )
    lacking = np.flatnonzero(np.isnan(found))
    writing = _Writing(scorer, store, rows, found, seconds, split, together)
    with (
        progress.task(f"score {scorer.name}", total=len(lacking), unit="rows") as task,
        _kept_on_the_way_out(writing, partial),
    ):
        step = ROWS_AT_A_TIME * together.count
        for at in range(0, len(lacking), step):
            writing.score(lacking[at : at + step], task, progress)
            if time.monotonic() - writing.flushed > _FLUSH_SECONDS:
                writing.flush(partial)
    if together.main:
        if len(lacking) or not _is_current(file, scorer):
            writing.flush(file)
        partial.unlink(missing_ok=True)
    return Scores(found, len(lacking), round(writing.seconds, 3), file)


def _is_current(file: Path, scorer: Scorer) -> bool:
    told = metadata(file) if file.exists() else {}
    return (told.get("identity"), told.get("format")) == (scorer.identity, FORMAT)


class _Writing:
    """Scores as they come in, and how they are written down."""

    def __init__(
        self,
        scorer: Scorer,
        store: InteractionsStore,
        rows: Rows,
        found: Probabilities,
        seconds: float,
        split: str,
        together: Processes,
    ) -> None:
        self._scorer, self._store, self._rows, self._found = scorer, store, rows, found
        self._split, self._together = split, together
        self._slices = row_slices(store, rows)
        self.seconds = seconds
        self.flushed = time.monotonic()

    def score(self, at: NDArray[np.intp], task: Task, progress: Progress) -> None:
        """Score the rows at ``at`` together with the other processes."""
        start = time.perf_counter()
        inner = RowsOf(task, progress)
        own = at[self._together.share(len(at))]
        # A process without a row of its own scores one nevertheless: all ask a sharded LM together.
        values = self._ask(own if len(own) else at[:1], inner)[: len(own)]
        self._found[at] = self._together.gathered(values)
        self.seconds += time.perf_counter() - start
        task.advance(len(at) - inner.done)

    def _ask(self, at: NDArray[np.intp], progress: Progress) -> Probabilities:
        values = np.asarray(self._scorer.score(self._rows[at], progress), dtype=np.float64)
        if not np.isfinite(values).all():
            row = int(self._rows[at][np.argmax(~np.isfinite(values))])
            raise RecloraError(
                f"{self._scorer.name} gives row {row} a score that is not a number",
                hint="Its numbers overflowed in training; train it again at a lower learning rate.",
            )
        return values

    def flush(self, file: Path) -> None:
        """Write down what is scored; the main process does."""
        if not self._together.main:
            return
        done = ~np.isnan(self._found)
        rows = self._rows[done]
        table = pa.table(
            {
                schema.ROW: pa.array(rows, pa.int64()),
                schema.LABEL: pa.array(np.asarray(self._store.row_label(rows)), pa.uint8()),
                PROBABILITY: pa.array(self._found[done], pa.float64()),
                **{name: pa.array(getattr(self._slices, name)[done]) for name in SLICES},
            }
        )
        told = {
            "format": FORMAT,
            "name": self._scorer.name,
            "identity": self._scorer.identity,
            "store": store_identity(self._store),
            "split": self._split,
            "rows_hash": rows_hash(rows),
            "popularity_bounds": POPULARITY_BOUNDS,
            "seconds": self.seconds,
        }
        with atomic_file(file) as opened:
            pq.write_table(table.replace_schema_metadata({METADATA: json.dumps(told)}), opened)
        self.flushed = time.monotonic()


@contextmanager
def _kept_on_the_way_out(writing: _Writing, partial: Path) -> Iterator[None]:
    """Write down what is scored when an interruption or an error ends the scoring."""
    try:
        yield
    except BaseException:
        writing.flush(partial)
        raise
