"""Scores of candidates on disk (task ``next``): kept, found again, and gone on with.

One Parquet file for a model and a split, ``next-<split>.parquet``: ``row_id``, ``scores`` (C of
them) and ``said``, the answer in words (null of models that say nothing). Its metadata tells which
model gave the scores, and for which candidates; a row that is there is never scored again, so a
subset of what is scored costs nothing, and an interrupted scoring goes on where it was.

Shapes: n rows, C candidates.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reclora_cli.data.sequences.rows import Ints
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.errors import RecloraError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.workspace import atomic_file

METADATA = b"reclora"
ROWS_AT_A_TIME = 16
_FLUSH_SECONDS = 20.0


class Chooser(Protocol):
    """A model that can be asked which candidate comes next.

    Attributes:
        name: what tables call it.
        identity: changes whenever its scores could; kept scores of another identity are not read.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def choose(
        self, split: str, ids: Ints, progress: Progress = SILENT
    ) -> tuple[NDArray[np.float64], list[str] | None]:
        """Scores (n, C) of each row's candidates, higher is likelier, and answers in words."""
        ...


@dataclass(frozen=True)
class Choices:
    """Scores of a set of rows.

    Attributes:
        scores: (n, C) float64, in the order of the rows asked for.
        said: n answers in words; ``None`` of models that say nothing.
        scored: rows that had to be scored now.
        seconds: what scoring all of them took, whenever that was.
    """

    scores: NDArray[np.float64]
    said: list[str] | None
    scored: int
    seconds: float
    file: Path


Row = tuple[list[float], str | None]


def choices(
    chooser: Chooser,
    store: SequenceStore,
    split: str,
    ids: Ints,
    folder: Path,
    progress: Progress = SILENT,
    *,
    force: bool = False,
) -> Choices:
    """Scores of ``ids`` (rows of ``split``); what ``folder`` lacks is scored and kept there.

    Args:
        force: score every row anew.

    Raises:
        RecloraError: the model gives a score that is not a number, or the file is damaged.
    """
    file = _file(folder, split)
    about = _about(chooser.name, chooser.identity, split, store)
    kept, seconds = ({}, 0.0) if force else _read(file, about, store)
    wanted: list[int] = np.asarray(ids).tolist()
    missing = [row for row in wanted if row not in kept]
    flushed = time.monotonic()
    with progress.task(f"score {chooser.name}", total=len(missing), unit="rows") as task:
        try:
            for at in range(0, len(missing), ROWS_AT_A_TIME):
                block = missing[at : at + ROWS_AT_A_TIME]
                start = time.perf_counter()
                kept |= _asked(chooser, split, block)
                seconds += time.perf_counter() - start
                task.advance(len(block))
                if time.monotonic() - flushed > _FLUSH_SECONDS:
                    _write(file, kept, about, seconds)
                    flushed = time.monotonic()
        finally:
            if missing:
                _write(file, kept, about, seconds)
    rows = [kept[row] for row in wanted]
    said = [answer for _, answer in rows if answer is not None]
    return Choices(
        scores=np.array([scores for scores, _ in rows], dtype=np.float64).reshape(
            len(rows), store.header.candidates
        ),
        said=said if len(said) == len(rows) and rows else None,
        scored=len(missing),
        seconds=round(seconds * len(rows) / max(1, len(kept)), 3),
        file=file,
    )


def kept_rows(
    name: str, identity: str, store: SequenceStore, split: str, folder: Path
) -> dict[int, Row]:
    """Scores and words that are kept of a model, by row; nothing of another identity.

    Raises:
        RecloraError: the file is damaged.
    """
    return _read(_file(folder, split), _about(name, identity, split, store), store)[0]


def lacking(chooser: Chooser, store: SequenceStore, split: str, ids: Ints, folder: Path) -> Ints:
    """Those of ``ids`` that ``choices`` would score.

    Raises:
        RecloraError: as there.
    """
    kept, _ = _read(
        _file(folder, split), _about(chooser.name, chooser.identity, split, store), store
    )
    rows: list[int] = np.asarray(ids).tolist()
    return np.array([row for row in rows if row not in kept], dtype=np.int64)


def _file(folder: Path, split: str) -> Path:
    return folder / f"next-{split}.parquet"


def _about(name: str, identity: str, split: str, store: SequenceStore) -> dict[str, str]:
    """What a file says of itself: whose scores it holds, and of which candidates."""
    candidates = store.header.candidates_sha256[split]
    return {"name": name, "identity": identity, "split": split, "candidates": candidates}


def _asked(chooser: Chooser, split: str, block: list[int]) -> dict[int, Row]:
    scores, said = chooser.choose(split, np.array(block, dtype=np.int64))
    broken = np.isnan(scores).any(axis=1)
    if broken.any():
        row = block[int(np.argmax(broken))]
        raise RecloraError(
            f"{chooser.name} gives row {row} a score that is not a number",
            hint="Its numbers overflowed in training; train it again at a lower learning rate.",
        )
    words: list[str | None] = [*said] if said is not None else [None] * len(block)
    return dict(zip(block, zip(scores.tolist(), words, strict=True), strict=True))


def _read(file: Path, about: dict[str, str], store: SequenceStore) -> tuple[dict[int, Row], float]:
    """What is kept of this model and these candidates; nothing of others."""
    if not file.is_file():
        return {}, 0.0
    try:
        told = json.loads(pq.read_schema(file).metadata[METADATA])
        if told.get("identity") != about["identity"]:
            return {}, 0.0
        table = pq.read_table(file).to_pydict()
        rows = dict(
            zip(table["row_id"], zip(table["scores"], table["said"], strict=True), strict=True)
        )
        problem = _foreign(told, about) or _problem(rows, len(table["row_id"]), told, store)
        seconds = float(told["seconds"])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        problem, rows, seconds = str(error), {}, 0.0
    if problem:
        raise RecloraError(
            f"the kept scores are damaged ({problem})",
            where=str(file),
            hint="Score anew: `reclora evaluate --force` with the same options.",
        )
    return rows, seconds


def _foreign(told: dict[str, Any], about: dict[str, str]) -> str:
    """What a file of this model says that it is of instead; empty where it is of the same."""
    if told["split"] != about["split"]:
        return f"it holds scores of {told['split']} rows"
    if told["candidates"] != about["candidates"]:
        return "it holds scores of other candidates than are prepared now"
    return ""


def _problem(rows: dict[int, Row], lines: int, told: dict[str, Any], store: SequenceStore) -> str:
    """What is wrong with rows that a file holds; empty where nothing is."""
    known = store.header.rows[("train", "valid", "test").index(told["split"])]
    if lines != told["rows"] or len(rows) != lines:
        return f"{lines} lines of {len(rows)} rows, where {told['rows']} were written"
    if any(not 0 <= row < known for row in rows):
        return f"a row that is none of the {known} of {told['split']}"
    if any(len(scores) != store.header.candidates for scores, _ in rows.values()):
        return f"a row without {store.header.candidates} scores"
    if any(np.isnan(scores).any() for scores, _ in rows.values()):
        return "a score that is not a number"
    if len({said is None for _, said in rows.values()}) > 1:
        return "rows with an answer in words and rows without one"
    return ""


def _write(file: Path, kept: dict[int, Row], about: dict[str, str], seconds: float) -> None:
    ids = sorted(kept)
    table = pa.table(
        {
            "row_id": pa.array(ids, pa.int64()),
            "scores": pa.array([kept[row][0] for row in ids], pa.list_(pa.float64())),
            "said": pa.array([kept[row][1] for row in ids], pa.string()),
        }
    )
    told = json.dumps({**about, "rows": len(ids), "seconds": seconds})
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as opened:
        pq.write_table(table.replace_schema_metadata({METADATA: told}), opened)
