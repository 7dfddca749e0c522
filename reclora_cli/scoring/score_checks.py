"""Whether a score file says of its rows what the store says: part of the leak audit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.audit import Check
from reclora_cli.data.audit.report import CHUNK, Finding
from reclora_cli.data.slices import row_slices
from reclora_cli.data.store import InteractionsStore
from reclora_cli.scoring.kept_scores import PROBABILITY, metadata
from reclora_cli.scoring.score_files import PARTIAL, SLICES

READABLE = "score files can be read"
SPLIT = "scored rows are rows of their file's split"
ONCE = "scored rows stand in order, each once"
HASH = "scored rows are those that their file's name and hash tell"
LABEL = "labels of scored rows are the store's"
NUMBER = "scores are probabilities"
SLICE = "seen user and item, history length and popularity of scored rows are the store's"


def score_file_checks(store: InteractionsStore, file: Path) -> list[Check]:
    """Check a file that ``score_files.score`` wrote for rows of ``store``."""
    looking = _Looking(store, metadata(file))
    try:
        for batch in pq.ParquetFile(file).iter_batches(CHUNK):
            columns = zip(batch.schema.names, batch.columns, strict=True)
            looking.look({name: column.to_numpy(zero_copy_only=False) for name, column in columns})
    except (pa.ArrowException, OSError, KeyError) as error:
        return [Check(READABLE, False, looking.seen, f"{file.name}: {error}")]
    return looking.checks(file)


class _Looking:
    """Findings over the batches of one file, in order."""

    def __init__(self, store: InteractionsStore, told: dict[str, Any]) -> None:
        self._store, self._told = store, told
        self._found = {name: Finding(name, "entry") for name in (SPLIT, ONCE, LABEL, NUMBER, SLICE)}
        self._digest = hashlib.sha256()
        self._last = np.empty(0, dtype=np.int64)
        self.seen = 0

    def look(self, batch: dict[str, NDArray[Any]]) -> None:
        rows, probability = batch[schema.ROW], batch[PROBABILITY]
        split = self._store.split(self._told["split"])
        known = (rows >= 0) & (rows < len(self._store))
        wrong = {
            SPLIT: (rows < split.start) | (rows >= split.stop),
            LABEL: np.zeros(len(rows), dtype=bool),
            NUMBER: ~((probability >= 0) & (probability <= 1)),
        }
        wrong[LABEL][known] = batch[schema.LABEL][known] != self._store.row_label(rows[known])
        if set(SLICES) <= set(batch):
            wrong[SLICE] = self._wrong_slices(batch, rows, known)
        for name, mask in wrong.items():
            self._found[name].look(mask, self.seen)
        both = np.concatenate([self._last, rows])
        self._found[ONCE].look(both[1:] <= both[:-1], self.seen + len(rows) - len(both) + 1)
        self._digest.update(rows.astype("<i8").tobytes())
        self._last, self.seen = rows[-1:], self.seen + len(rows)

    def _wrong_slices(
        self, batch: dict[str, NDArray[Any]], rows: NDArray[np.int64], known: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        wrong = np.zeros(len(rows), dtype=bool)
        of_store = row_slices(self._store, rows[known])
        for name in SLICES:
            wrong[known] |= batch[name][known] != getattr(of_store, name)
        return wrong

    def checks(self, file: Path) -> list[Check]:
        """All of them, once every batch was looked at."""
        checks = [finding.check() for finding in self._found.values()]
        if all(check.held for check in checks[:2]):
            checks.append(self._hash_check(file))
        # Files of format 1 carry no slices.
        return [check for check in checks if check.checked or not self.seen]

    def _hash_check(self, file: Path) -> Check:
        told, found = self._told["rows_hash"], self._digest.hexdigest()[:16]
        named = file.name.endswith(PARTIAL) or file.stem == f"{self._told['split']}-{told}"
        right = found == told and named
        return Check(HASH, right, self.seen, "" if right else f"{file.name} holds rows of {found}")
