"""Pairs of users and items in a file of one's own, in blocks, as dense ids: ``predict --input``.

CSV, JSON lines or Parquet with the columns ``user`` and ``item``, and ``time`` if there is one:
seconds since 1970, or as in ISO 8601; a line without a time is asked about now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.guessing.sample import Sample, every_column, take_sample
from reclora_cli.data.histories import NOW
from reclora_cli.data.lookup_many import Ids, IdsOrTitles, Places
from reclora_cli.data.reading.csv_dialect import shown
from reclora_cli.data.reading.table import Rows, read_rows
from reclora_cli.data.reading.values import ISO, TimeFormat, as_text, missing, require_ids
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError, UsageError

USER, ITEM, TIME = "user", "item", "time"

_WANTED = "Pairs stand in the columns user and item; a time may stand beside."


@dataclass(frozen=True)
class Pairs:
    """n consecutive lines.

    Attributes:
        users: (n,) dense ids; ``lookup_many.UNKNOWN`` where the store has no such user.
        items: (n,) likewise; ``SEVERAL`` where a title is several items'.
        times: (n,) int64 seconds since 1970, or ``histories.NOW``.
        written: the lines as the file has them.
    """

    users: Places
    items: Places
    times: NDArray[np.int64]
    written: Rows

    def __len__(self) -> int:
        return len(self.users)


class PairsFile:
    """A file of pairs. Nothing but its beginning is read before ``blocks``.

    Attributes:
        columns: those that are read: user, item, and time if there is one.
    """

    def __init__(self, path: Path, store: InteractionsStore) -> None:
        """Look at its first rows.

        Raises:
            MissingInputError: no such file.
            RecloraError: it cannot be read as a table, or lacks a column.
            UsageError: it has times, and the dataset has none.
        """
        sample = take_sample(path)
        names = _names(sample)
        lacking = [name for name in (USER, ITEM) if name not in names]
        if lacking:
            _require_none_of(lacking, every_column(sample.file), path)
            raise RecloraError(
                f"no column {' and '.join(map(repr, lacking))}; found: {shown(names)}",
                where=str(path),
                hint=_WANTED,
            )
        self.columns = tuple(name for name in (USER, ITEM, TIME) if name in names)
        if TIME in self.columns and not store.header.timed:
            raise UsageError(
                f"{store.header.dataset} has no times, so nothing can be asked at a time",
                where=f"{path}: column {TIME}",
                hint="Leave the column out: each pair is then asked about now.",
            )
        self.path = path
        self._file = sample.file
        self._time = _time_format(sample)
        self._users = Ids(store.users[schema.USER].tolist())
        self._items = IdsOrTitles(
            store.items[schema.ITEM].tolist(), store.items[schema.TITLE].tolist()
        )

    def blocks(self, size: int, first: int = 0) -> Iterator[Pairs]:
        """All lines in blocks of ``size``, the last may be shorter; from block ``first`` on.

        Raises:
            RecloraError: a line does not fit, or has no user or item: names it.
        """
        for number, rows in enumerate(self._in_blocks(size)):
            if number >= first:
                yield self._resolved(rows)

    def _in_blocks(self, size: int) -> Iterator[Rows]:
        held: Rows | None = None
        for rows in read_rows(self._file, self.columns):
            held = rows if held is None else _joined(held, rows)
            whole = len(held) - len(held) % size
            for start in range(0, whole, size):
                yield _part(held, start, start + size)
            held = _part(held, whole, len(held))
        if held is not None and len(held):
            yield held

    def _resolved(self, rows: Rows) -> Pairs:
        user, item = (
            require_ids(as_text(rows.columns[name]), {""}, name, rows.where).to_pylist()
            for name in (USER, ITEM)
        )
        return Pairs(self._users.places(user), self._items.places(item), self._times(rows), rows)

    def _times(self, rows: Rows) -> NDArray[np.int64]:
        times = np.full(len(rows), NOW)
        if TIME in self.columns:
            said = ~missing(as_text(rows.columns[TIME]), {""})
            if said.any():
                known = rows.chosen(said)
                times[said] = self._time.seconds(known.columns[TIME], TIME, known.where)
        return times


def _require_none_of(names: Sequence[str], found: Sequence[str], path: Path) -> None:
    for name in names:
        if name in found:
            raise RecloraError(
                f"the column {name!r} stands there twice"
                if found.count(name) > 1
                else f"the column {name!r} holds neither text nor numbers",
                where=str(path),
                hint=_WANTED,
            )


def _names(sample: Sample) -> list[str]:
    """All columns; of JSON also those of mixed values, which are told of when they are read."""
    return [*(every_column(sample.file) if sample.file.kind == "jsonl" else sample.columns)]


def _time_format(sample: Sample) -> TimeFormat:
    """Seconds where the first time is a number, else ISO 8601."""
    said = [text for text in sample.columns.get(TIME, pa.array([])).to_pylist() if text]
    return TimeFormat("seconds" if all(map(_is_number, said[:1])) else ISO)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _part(rows: Rows, start: int, end: int) -> Rows:
    columns = {name: column[start:end] for name, column in rows.columns.items()}
    return Rows(columns, rows.lines[start:end], rows.file)


def _joined(first: Rows, then: Rows) -> Rows:
    columns = {
        name: pa.concat_arrays([column, then.columns[name]])
        for name, column in first.columns.items()
    }
    return Rows(columns, np.concatenate([first.lines, then.lines]), first.file)
