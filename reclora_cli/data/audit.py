"""Proof that what was written cannot leak the future.

Every check reads the stored arrays themselves: it does not trust the code that wrote them. A
check that does not hold names how many places break it and the first of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reclora_cli.data.features import PADDING, FeatureSpace
from reclora_cli.data.store import InteractionsStore, Ints
from reclora_cli.errors import CheckError

_CHUNK = 65_536


@dataclass(frozen=True)
class Check:
    """One property and whether it held.

    Attributes:
        name: what must hold, as a sentence.
        held: whether it does.
        checked: how many things were looked at.
        detail: when it does not hold: how many break it, and the first.
    """

    name: str
    held: bool
    checked: int
    detail: str = ""


@dataclass(frozen=True)
class AuditReport:
    """All checks of one audit."""

    checks: tuple[Check, ...]

    @property
    def held(self) -> bool:
        return all(check.held for check in self.checks)

    def require(self, where: str) -> AuditReport:
        """The report itself when everything held.

        Raises:
            CheckError: naming every check that did not hold.
        """
        broken = [check for check in self.checks if not check.held]
        if broken:
            lines = "; ".join(f"{check.name}: {check.detail}" for check in broken)
            raise CheckError(f"the audit does not hold: {lines}", where=where)
        return self


def audit(
    store: InteractionsStore,
    ranked: Path | Ints | None = None,
    features: FeatureSpace | None = None,
    shots: Ints | None = None,
) -> AuditReport:
    """Check a written store, and what was made from it.

    Args:
        store: opened from its folder.
        ranked: ranked behaviours of all rows, (n_rows, k) positions, or their ``.npy`` file.
        features: the feature space that models read rows through.
        shots: row ids the LM is tuned on.
    """
    checks: list[Callable[[InteractionsStore], Check]] = [
        _behaviours_in_order,
        _rows_in_order,
        _splits_in_order,
        _labels_follow_ratings,
        _warm_up_is_history_only,
        _histories_are_past,
    ]
    report = [check(store) for check in checks]
    if ranked is not None:
        report += _ranked_are_past(store, _opened(ranked))
    if features is not None:
        report.append(_unseen_values_are_unknown(store, features))
    if shots is not None:
        report.append(_shots_are_train(store, shots))
    return AuditReport(tuple(report))


def _check(name: str, broken: Ints, thing: str) -> Check:
    """A check from a mask of what breaks it."""
    places = np.flatnonzero(broken)
    if len(places) == 0:
        return Check(name, True, len(broken))
    return Check(name, False, len(broken), f"{len(places)} broken, first {thing} {places[0]}")


def _descends(*keys: Ints) -> Ints:
    """(n - 1,) bool: entry i + 1 sorts before entry i by ``keys``, most important first."""
    less = np.zeros(len(keys[0]) - 1, dtype=bool)
    equal = np.ones_like(less)
    for key in keys:
        less |= equal & (key[1:] < key[:-1])
        equal &= key[1:] == key[:-1]
    return less


def _behaviours_in_order(store: InteractionsStore) -> Check:
    name = "behaviours stand by user, then time, then item"
    broken = np.zeros(store.header.behaviours, dtype=bool)
    broken[1:] = _descends(store.user, store.time, store.item)
    expected = np.searchsorted(store.user, np.arange(store.header.users + 1))
    broken[0] |= not np.array_equal(expected, store.user_start)
    return _check(name, broken, "position")


def _rows_in_order(store: InteractionsStore) -> Check:
    name = "rows stand by time, then user, then item, each behaviour at most once"
    at = store.row_position[:]
    broken = np.zeros(len(at), dtype=bool)
    broken[1:] = _descends(store.time[at], store.user[at], store.item[at])
    occurs = np.bincount(at, minlength=store.header.behaviours)
    return _check(name, broken | (occurs[at] > 1), "row")


def _splits_in_order(store: InteractionsStore) -> Check:
    name = "train ends before valid begins, valid ends before test begins"
    train, valid, test = (store.split(split) for split in ("train", "valid", "test"))
    time = store.row_time(np.arange(len(store)))
    broken = np.zeros(len(store), dtype=bool)
    for earlier, later in ((train, valid), (valid, test)):
        part = slice(later.start, later.stop)
        broken[part] = time[part] < time[earlier.start : earlier.stop].max()
    broken[-1] |= test.stop != len(store)
    return _check(name, broken, "row")


def _labels_follow_ratings(store: InteractionsStore) -> Check:
    name = f"a like is a rating of {store.header.like_from:g} or more"
    likes = np.asarray(store.header.rating_values)[store.rating] >= store.header.like_from
    return _check(name, likes != store.label, "position")


def _warm_up_is_history_only(store: InteractionsStore) -> Check:
    name = f"no row's target is among its user's first {store.header.warm_up} behaviours"
    at = store.row_position[:]
    return _check(name, at - store.user_start[store.user[at]] < store.header.warm_up, "row")


def _histories_are_past(store: InteractionsStore) -> Check:
    """The last behaviour of a history is the latest, since behaviours stand in order."""
    name = "no history holds a behaviour at or after its row, or its own target"
    at = store.row_position[:]
    start, end = store.user_start[store.user[at]], store.history_end[:]
    broken = (end > at) | (end < start)
    filled = np.flatnonzero((end > start) & ~broken)
    last = end[filled] - 1
    broken[filled] |= _not_before(store, last, at[filled])
    return _check(name, broken, "row")


def _not_before(store: InteractionsStore, behaviour: Ints, row: Ints) -> Ints:
    """Whether positions ``behaviour`` are of another user than ``row``, or not in its past."""
    time, row_time = store.time[behaviour], store.time[row]
    late: Ints = (time > row_time) | ((time == row_time) & (behaviour >= row))
    if store.header.ties == "exclude":
        late = time >= row_time
    late |= store.user[behaviour] != store.user[row]
    return late


def _ranked_are_past(store: InteractionsStore, ranked: Ints) -> list[Check]:
    """Checked for every ranked position, in chunks of rows."""
    n, k = ranked.shape
    if n != len(store):
        return [Check("every row has ranked behaviours", False, n, f"{n} for {len(store)} rows")]
    late, ragged = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    for first in range(0, n, _CHUNK):
        part = slice(first, min(first + _CHUNK, n))
        positions = np.asarray(ranked[part], dtype=np.int64)
        late[part] = _reaches_ahead(store, part, positions)
        ragged[part] = _is_ragged(store, part, positions, k)
    return [
        _check("ranked behaviours lie in their row's own past, by the same user", late, "row"),
        _check("ranked behaviours are distinct, all there are, padding at the end", ragged, "row"),
    ]


def _reaches_ahead(store: InteractionsStore, part: slice, positions: Ints) -> Ints:
    at = np.asarray(store.row_position[part], dtype=np.int64)[:, None]
    present = positions >= 0
    inside = np.clip(positions, 0, store.header.behaviours - 1)
    row = np.broadcast_to(at, positions.shape)
    wrong = _not_before(store, inside, row) | (positions >= store.history_end[part][:, None])
    return np.asarray(((wrong & present) | (positions < -1)).any(axis=1))


def _is_ragged(store: InteractionsStore, part: slice, positions: Ints, k: int) -> Ints:
    present = positions >= 0
    ordered = np.sort(positions, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    after_gap = (present[:, 1:] & ~present[:, :-1]).any(axis=1)
    start, end = store.history_bounds(np.arange(part.start, part.stop))
    return twice | after_gap | (present.sum(axis=1) != np.minimum(end - start, k))


def _unseen_values_are_unknown(store: InteractionsStore, features: FeatureSpace) -> Check:
    """Every index read by any row or behaviour is padding, an unknown slot, or trained."""
    name = "no embedding of a value unseen in training is read"
    trained = np.zeros(features.size, dtype=bool)
    trained[PADDING] = True
    trained[features.offsets] = True
    train = store.row_position[np.asarray(store.split("train"))]
    trained[_slots_of_codes(store, features, train)] = True
    read = np.zeros(features.size, dtype=bool)
    for first in range(0, store.header.behaviours, _CHUNK):
        at = np.arange(first, min(first + _CHUNK, store.header.behaviours))
        read[features.pairs(store.user[at], store.item[at])] = True
        items, ratings, _ = features.history(at[:, None])
        read[items] = True
        read[ratings] = True
    check = _check(name, read & ~trained, "index")
    return Check(name, check.held, int(read.sum()), check.detail)


def _slots_of_codes(store: InteractionsStore, features: FeatureSpace, at: Ints) -> Ints:
    """Every index that the stored codes at positions ``at`` stand for, 1-D."""
    users = store.user_fields[np.unique(store.user[at])]
    items = store.item_fields[np.unique(store.item[at])]
    first = len(store.header.user_fields)
    slots = [
        (features.offsets[:first] + 1 + users).ravel(),
        (features.offsets[first:-1] + 1 + items).ravel(),
        features.offsets[-1] + 1 + np.unique(store.rating[at]),
    ]
    return np.concatenate(slots)


def _shots_are_train(store: InteractionsStore, shots: Ints) -> Check:
    train = store.split("train")
    outside = (shots < train.start) | (shots >= train.stop)
    return _check("every shot is a training row", outside, "shot")


def _opened(ranked: Path | Ints) -> Ints:
    return np.load(ranked, mmap_mode="r") if isinstance(ranked, Path) else ranked
