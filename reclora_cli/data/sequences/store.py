"""The sequence store: rows of the task ``next`` on disk, memory-mapped, and their candidates.

Files of the folder:
    items.parquet            item_id as in the source, and title, in dense id order
    <split>_history.npy      (n, L) int32, and likewise length, target, user (n,) int32 and
    <split>_time.npy         (n,) int64: see ``SequenceRows``
    valid_candidates.npy     (n, C) int32, and test_candidates.npy
    sequences.json           SequenceHeader
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from reclora_cli.data import schema
from reclora_cli.data.sequences.rows import Ints, SequenceRows, Sequences
from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.workspace import hash_file

HEADER = "sequences.json"
WITH_CANDIDATES = schema.SPLITS[1:]
"""Splits whose rows have candidates; in training, the model's whole vocabulary is the choice."""

_ANEW = "Run `reclora prepare` with --force to write it again."


@dataclass(frozen=True)
class SequenceHeader:
    """What the store says of itself.

    Attributes:
        history: L; ``candidates``: C.
        rows: of train, valid and test.
        shared_names: items whose title another item has too.
        unseen_targets: split -> rows whose target is in no training row.
        identity: SHA-256 of every array and title: equal stores, equal identities.
        candidates_sha256: split -> SHA-256 of its candidates' file.
    """

    dataset: str
    noun: str
    items: int
    history: int
    candidates: int
    rows: tuple[int, int, int]
    split_by: str
    by_time: bool
    shared_names: int
    unseen_targets: dict[str, int]
    identity: str
    candidates_sha256: dict[str, str]


class SequenceStore:
    """Read access to a prepared dataset of sequences. Arrays are memory-mapped and read-only."""

    def __init__(self, folder: Path) -> None:
        """Open the store in ``folder``.

        Raises:
            MissingInputError: there is none.
            RecloraError: a file of it is damaged, or holds candidates of another store.
        """
        self.folder = Path(folder)
        file = self.folder / HEADER
        if not file.is_file():
            raise MissingInputError(
                "no prepared sequences here",
                where=str(folder),
                hint="Run `reclora prepare lastfm --from FOLDER` first.",
            )
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            self.header = SequenceHeader(**{**content, "rows": tuple(content["rows"])})
            self._splits = {name: self._read(name) for name in schema.SPLITS}
            self._candidates = {name: self._array(name, "candidates") for name in WITH_CANDIDATES}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RecloraError(
                f"the sequences are damaged ({error})", where=str(folder), hint=_ANEW
            ) from error
        self._require_own_candidates()

    def split(self, name: str) -> SequenceRows:
        """Rows of ``train``, ``valid`` or ``test``."""
        return self._splits[name]

    def candidates(self, name: str) -> Ints:
        """(n, C) int32 of ``valid`` or ``test``."""
        return self._candidates[name]

    def truth(self, name: str) -> Ints:
        """Where each row's target stands among its candidates, (n,) int64."""
        hits = self._candidates[name] == self._splits[name].target[:, None]
        return np.asarray(hits.argmax(axis=1))

    @cached_property
    def items(self) -> pd.DataFrame:
        """Items in dense order: ``item_id`` as in the source, ``title``."""
        return pd.read_parquet(self.folder / "items.parquet")

    @cached_property
    def seen_items(self) -> Ints:
        """(items,) bool: the item is in a training row, as target or in its history."""
        return _seen(self._splits["train"], self.header.items)

    def is_intact(self) -> bool:
        """Whether every array and title is what was written: reads all of them."""
        return _identity(self.folder, self.items) == self.header.identity

    def _read(self, split: str) -> SequenceRows:
        names = [field.name for field in fields(SequenceRows)]
        return SequenceRows(*(self._array(split, name) for name in names))

    def _array(self, split: str, name: str) -> Ints:
        array: Ints = np.load(self.folder / f"{split}_{name}.npy", mmap_mode="r")
        rows = self.header.rows[schema.SPLITS.index(split)]
        if len(array) != rows:
            raise ValueError(f"{split}_{name}.npy holds {len(array)} rows, the header {rows}")
        return array

    def _require_own_candidates(self) -> None:
        for name, expected in self.header.candidates_sha256.items():
            file = self.folder / f"{name}_candidates.npy"
            if hash_file(file) != expected:
                raise RecloraError(
                    f"these are not the candidates that were drawn for {self.header.dataset}",
                    where=str(file),
                    hint=_ANEW,
                )


def write_store(
    folder: Path, dataset: str, sequences: Sequences, candidates: Mapping[str, Ints]
) -> None:
    """Write a store into ``folder`` (temporary: see ``workspace.atomic_folder``).

    Args:
        candidates: (n, C) int32 of each split in ``WITH_CANDIDATES``.
    """
    sequences.items.to_parquet(folder / "items.parquet")
    for split, rows in sequences.splits.items():
        for field in fields(SequenceRows):
            np.save(folder / f"{split}_{field.name}.npy", getattr(rows, field.name))
    for split, drawn in candidates.items():
        np.save(folder / f"{split}_candidates.npy", drawn)
    train = sequences.splits["train"]
    header = SequenceHeader(
        dataset=dataset,
        noun=sequences.noun,
        items=len(sequences.items),
        history=train.history.shape[1],
        candidates=candidates["test"].shape[1],
        rows=tuple(len(sequences.splits[name]) for name in schema.SPLITS),  # type: ignore[arg-type]
        split_by=sequences.split_by,
        by_time=sequences.by_time,
        shared_names=shared_names(sequences.items),
        unseen_targets={
            name: int((~_seen(train, len(sequences.items))[sequences.splits[name].target]).sum())
            for name in WITH_CANDIDATES
        },
        identity=_identity(folder, sequences.items),
        candidates_sha256={
            name: hash_file(folder / f"{name}_candidates.npy") for name in candidates
        },
    )
    (folder / HEADER).write_text(json.dumps(asdict(header), indent=2), "utf-8")


def _seen(train: SequenceRows, items: int) -> Ints:
    """(items,) bool: which are in a training row, as target or in its history."""
    seen = np.zeros(items, dtype=bool)
    seen[train.target] = True
    seen[train.history[train.history >= 0]] = True
    return seen


def shared_names(items: pd.DataFrame) -> int:
    """How many items have a title, case and outer spaces aside, that another has too."""
    names = items[schema.TITLE].str.strip().str.casefold()
    return int(names.duplicated(keep=False).sum())


def _identity(folder: Path, items: pd.DataFrame) -> str:
    """Of arrays and titles, not of ``items.parquet``, whose bytes depend on versions."""
    whole = hashlib.sha256()
    for file in sorted(folder.glob("*.npy")):
        whole.update(f"{file.name} {hash_file(file)}\n".encode())
    for row in items[[schema.ITEM, schema.TITLE]].astype(str).itertuples(index=False):
        whole.update(f"{json.dumps(list(row))}\n".encode())
    return whole.hexdigest()
