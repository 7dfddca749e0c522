"""Kept scores: found again, and refused where they are not what was written.

A score file says which rows of which store it holds (see ``score_files``). One whose rows are
missing, doubled, foreign or without a score was cut, edited or copied; a figure read from it would
be wrong and look right, so it is an error and not a gap to be filled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError
from reclora_cli.workspace import MANIFEST, Artefact

METADATA = b"reclora"
PROBABILITY = "probability"

Rows = NDArray[np.int64]
Probabilities = NDArray[np.float64]


def known_scores(
    identity: str, store: InteractionsStore, rows: Rows, folder: Path
) -> tuple[Probabilities, float]:
    """Scores of ``rows`` that ``folder`` holds, NaN where none, and the seconds they took.

    Args:
        identity: the model's; files of another are passed over.

    Raises:
        RecloraError: a file of the model is damaged, or holds other rows than it says.
    """
    found, seconds = np.full(len(rows), np.nan), 0.0
    for file in sorted(folder.glob("*.parquet")):
        told = metadata(file)
        if told.get("identity") != identity:
            continue
        ids, values = _Kept(file, told, store).read()
        at = np.searchsorted(ids, rows)
        at[at == len(ids)] = 0
        new = np.isnan(found) & (ids[at] == rows) if len(ids) else np.zeros(len(rows), dtype=bool)
        found[new] = values[at[new]]
        seconds += float(told["seconds"]) * int(new.sum()) / max(len(ids), 1)
    return found, seconds


def whole_file(file: Path, store: InteractionsStore) -> tuple[Rows, Probabilities]:
    """Every row id that ``file`` holds, ascending, and their scores.

    Raises:
        RecloraError: it is damaged, or holds other rows than it says.
    """
    return _Kept(file, metadata(file), store).read()


def metadata(file: Path) -> dict[str, Any]:
    """What a score file says of itself; empty when it is no score file."""
    try:
        content = (pq.read_schema(file).metadata or {}).get(METADATA)
    except (pa.ArrowInvalid, OSError):
        return {}
    return json.loads(content) if content else {}


def rows_hash(rows: Rows) -> str:
    """Identity of a set of row ids, 16 hex digits, whatever their order."""
    return hashlib.sha256(np.sort(rows).astype("<i8").tobytes()).hexdigest()[:16]


def store_identity(store: InteractionsStore) -> str:
    """Changes whenever the store is written anew; empty for one outside a workspace."""
    artefact = Artefact(store.folder)
    return artefact.identity() if (store.folder / MANIFEST).is_file() else ""


@dataclass(frozen=True)
class _Kept:
    """A score file, and what it says of itself."""

    file: Path
    told: dict[str, Any]
    store: InteractionsStore

    def read(self) -> tuple[Rows, Probabilities]:
        """Its row ids, ascending, and their scores."""
        # The oldest files do not say of which store they are.
        if self.told.get("store", store_identity(self.store)) != store_identity(self.store):
            raise self._error("it holds scores of another dataset, or of one prepared before")
        ids, labels, values = self._columns()
        self._check_rows(ids)
        if (labels != self.store.row_label(ids)).any():
            raise self._error("its labels are not those of the dataset")
        self._refuse(~((values >= 0) & (values <= 1)), ids, "has no probability as its score")
        return ids, values

    def _columns(self) -> tuple[Rows, NDArray[Any], Probabilities]:
        names = [schema.ROW, schema.LABEL, PROBABILITY]
        lacking = {*names} - {*pq.read_schema(self.file).names}
        if lacking:
            raise self._error(f"it has no column {', '.join(sorted(lacking))}")
        try:
            table = pq.read_table(self.file, columns=names)
        except (pa.ArrowException, OSError) as error:
            raise self._error(f"it cannot be read ({error})") from None
        rows, labels, values = table.columns
        if rows.null_count or not pa.types.is_integer(rows.type):
            raise self._error("it has rows without an id")
        return np.asarray(rows), np.asarray(labels), np.asarray(values, dtype=np.float64)

    def _check_rows(self, ids: Rows) -> None:
        ordered = np.sort(ids)
        again = np.append(ordered[1:] == ordered[:-1], False)[: len(ids)]
        self._refuse(again, ordered, "stands in it more than once")
        split = self.store.split(self.told["split"])
        foreign = (ids < split.start) | (ids >= split.stop)
        self._refuse(foreign, ids, f"is no {self.told['split']} row of {self._dataset}")
        if (ids != ordered).any():
            raise self._error("its rows are not in ascending order")
        if rows_hash(ids) != self.told["rows_hash"]:
            raise self._error(f"its {len(ids):,} rows are not those it names: some are missing")

    def _refuse(self, wrong: NDArray[np.bool_], ids: Rows, what: str) -> None:
        if wrong.any():
            row, others = int(ids[np.argmax(wrong)]), int(wrong.sum()) - 1
            more = f" ({others:,} more like it)" if others else ""
            raise self._error(f"row {row} {what}{more}")

    def _error(self, what: str) -> RecloraError:
        return RecloraError(
            f"damaged score file: {what}",
            where=str(self.file),
            hint="Remove the file and repeat the command: its rows are then scored again.",
        )

    @property
    def _dataset(self) -> str:
        return self.store.header.dataset
