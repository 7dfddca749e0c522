"""The interactions store: columnar, memory-mapped, one CSR of each user's behaviours.

Terms:
    position  index into the CSR: behaviours of user 0 in time order, then of user 1, ...
              ``user_start[u] .. user_start[u + 1]`` are user ``u``'s.
    row       a (user, target item, time) to be predicted. Rows are numbered 0 .. n_rows - 1 in
              global order of (time, user, item), so each split is one range of row ids.
              ``row_position[row]`` is the row's own position; its history is the CSR range
              ``history_start[row] .. history_end[row]``, which ends at or before its own position.

A row therefore cannot reach a later behaviour or its own target: the range excludes them.

Files of the folder (``.npy`` memory-mapped, Parquet for text):
    user.npy        (n_behaviours,) int32    dense user id of each position
    item.npy        (n_behaviours,) int32    dense item id
    rating.npy      (n_behaviours,) uint8    code into ``rating_values``
    time.npy        (n_behaviours,) int64    seconds since 1970 (UTC)
    label.npy       (n_behaviours,) uint8    1 = like
    user_start.npy  (n_users + 1,) int64
    row_position.npy (n_rows,) int32/int64
    history_end.npy (n_rows,) same type      exclusive end of the row's history
    user_fields.npy (n_users, F_u) int32     codes; column f is ``user_field_names[f]``
    item_fields.npy (n_items, F_i) int32
    users.parquet, items.parquet             original id and text columns, in dense id order
    vocabulary_NN.parquet                    the NN-th field's values in code order, one column
    store.json                               StoreHeader
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.lookup import find_id, find_title
from reclora_cli.errors import MissingInputError, RecloraError

Ints = NDArray[Any]
Rows = Ints | slice
"""Row ids, or a slice of them (which copies no ids)."""

_ARRAYS = (
    "user",
    "item",
    "rating",
    "time",
    "label",
    "user_start",
    "row_position",
    "history_end",
    "user_fields",
    "item_fields",
)


@dataclass(frozen=True)
class StoreHeader:
    """What the store says of itself.

    Attributes:
        user_fields: names of the columns of ``user_fields.npy`` (first: the user id itself).
        item_fields: likewise for items (first: the item id itself).
        field_sizes: how many values each of ``user_fields + item_fields`` has.
        rating_values: the rating each code stands for, ascending.
        split_rows: rows of train, valid and test.
        noun: what an item is called, e.g. ``movie``.
        timed: whether ``time`` is seconds; otherwise it is the place in the source's file.
    """

    dataset: str
    users: int
    items: int
    behaviours: int
    rows: int
    user_fields: tuple[str, ...]
    item_fields: tuple[str, ...]
    field_sizes: tuple[int, ...]
    rating_values: tuple[float, ...]
    split_rows: tuple[int, int, int]
    warm_up: int
    ties: str
    like_from: float
    noun: str
    timed: bool


class InteractionsStore:
    """Read access to a prepared dataset. Arrays are memory-mapped and read-only."""

    user: Ints
    item: Ints
    rating: Ints
    time: Ints
    label: Ints
    user_start: Ints
    row_position: Ints
    history_end: Ints
    user_fields: Ints
    item_fields: Ints

    def __init__(self, folder: Path) -> None:
        """Open the store in ``folder``.

        Raises:
            MissingInputError: there is none.
            RecloraError: a file of it is damaged.
        """
        self.folder = Path(folder)
        header = self.folder / "store.json"
        if not header.is_file():
            raise MissingInputError(
                "no prepared dataset here",
                where=str(folder),
                hint="Run `reclora prepare ml-1m` first.",
            )
        try:
            content = json.loads(header.read_text(encoding="utf-8"))
            plain: Any = {key: tuple(v) if isinstance(v, list) else v for key, v in content.items()}
            self.header = StoreHeader(**plain)
            for name in _ARRAYS:
                setattr(self, name, np.load(self.folder / f"{name}.npy", mmap_mode="r"))
        except (OSError, ValueError, TypeError, EOFError, AttributeError) as error:
            raise RecloraError(
                f"the store is damaged ({error})",
                where=str(folder),
                hint="Run `reclora prepare` with --force to write it again.",
            ) from error

    @staticmethod
    def write_described(
        folder: Path,
        header: StoreHeader,
        users: pd.DataFrame,
        items: pd.DataFrame,
        vocabularies: Mapping[str, pd.Series[Any]],
    ) -> None:
        """Write all but the arrays into ``folder`` (temporary: see ``workspace.atomic_folder``)."""
        users.to_parquet(folder / "users.parquet")
        items.to_parquet(folder / "items.parquet")
        for at, (name, values) in enumerate(vocabularies.items()):
            values.to_frame(name).to_parquet(folder / _vocabulary_file(at))
        (folder / "store.json").write_text(json.dumps(asdict(header), indent=2), "utf-8")

    # -- sizes and splits -------------------------------------------------------------------

    def __len__(self) -> int:
        return self.header.rows

    def split(self, name: str) -> range:
        """Row ids of ``train``, ``valid`` or ``test``."""
        at = schema.SPLITS.index(name)
        start = sum(self.header.split_rows[:at])
        return range(start, start + self.header.split_rows[at])

    def split_of(self, rows: Ints) -> Ints:
        """Index into ``schema.SPLITS`` of each row, (n,) int64."""
        ends = np.cumsum(self.header.split_rows)
        return np.searchsorted(ends, rows, side="right")

    # -- rows -------------------------------------------------------------------------------

    def row_user(self, rows: Rows) -> Ints:
        return self.user[self.row_position[rows]]

    def row_item(self, rows: Rows) -> Ints:
        return self.item[self.row_position[rows]]

    def row_label(self, rows: Rows) -> Ints:
        return self.label[self.row_position[rows]]

    def row_time(self, rows: Rows) -> Ints:
        return self.time[self.row_position[rows]]

    def history_bounds(self, rows: Ints) -> tuple[Ints, Ints]:
        """CSR range ``[start, end)`` of each row's strict past, two (n,) arrays."""
        return self.user_start[self.row_user(rows)], self.history_end[rows]

    def rows_of_user(self, user: int) -> Ints:
        """Row ids of one user in time order, (n,) int64."""
        start, end = int(self.user_start[user]), int(self.user_start[user + 1])
        rows = self._position_row[start:end]
        return rows[rows >= 0]

    @cached_property
    def _position_row(self) -> Ints:
        rows = np.full(self.header.behaviours, -1, dtype=np.int64)
        rows[self.row_position] = np.arange(self.header.rows)
        return rows

    # -- what training has seen ---------------------------------------------------------------

    @cached_property
    def seen_users(self) -> Ints:
        """(n_users,) bool: the user is the user of a training row."""
        return self._seen(self.row_user, self.header.users)

    @cached_property
    def seen_items(self) -> Ints:
        """(n_items,) bool: the item is the target of a training row."""
        return self._seen(self.row_item, self.header.items)

    def date(self, time: int) -> str:
        """The day of ``time`` in UTC (ISO 8601); of data without times its place in the file."""
        if not self.header.timed:
            return f"number {time:,} in the file"
        return datetime.fromtimestamp(time, UTC).date().isoformat()

    def _seen(self, of_rows: Any, size: int) -> Ints:
        seen = np.zeros(size, dtype=bool)
        train = self.split("train")
        seen[of_rows(slice(train.start, train.stop))] = True
        return seen

    # -- look-up ------------------------------------------------------------------------------

    def find_user(self, text: str, where: str = "--user") -> int:
        """Dense id of the user whose source id is ``text``.

        Raises:
            UsageError: there is none; says how ids look and names near ones.
        """
        return find_id(text, self.users[schema.USER].tolist(), "user", where)

    def find_item(self, text: str, where: str = "--item") -> int:
        """Dense id of the item whose source id or title is ``text``.

        Raises:
            UsageError: there is none, or the title is several items'; names the near ones.
        """
        ids, titles = self.items[schema.ITEM].tolist(), self.items[schema.TITLE].tolist()
        return find_title(text, ids, titles, self.header.noun, where)

    # -- text ---------------------------------------------------------------------------------

    @cached_property
    def users(self) -> pd.DataFrame:
        """Users in dense order: ``user_id`` as in the source, and profile columns."""
        return pd.read_parquet(self.folder / "users.parquet")

    @cached_property
    def items(self) -> pd.DataFrame:
        """Items in dense order: ``item_id`` as in the source, ``title``, ``genre`` and more."""
        return pd.read_parquet(self.folder / "items.parquet")

    def vocabulary(self, field: str) -> pd.Series[Any]:
        """Values of one of ``header.user_fields + item_fields`` in code order."""
        if field not in self._vocabularies:
            at = (*self.header.user_fields, *self.header.item_fields).index(field)
            read = pd.read_parquet(self.folder / _vocabulary_file(at))[field]
            self._vocabularies[field] = read
        return self._vocabularies[field]

    @cached_property
    def _vocabularies(self) -> dict[str, pd.Series[Any]]:
        """Those read so far."""
        return {}


def _vocabulary_file(at: int) -> str:
    """By number: a field of the user's own data may be called anything."""
    return f"vocabulary_{at:02}.parquet"
