"""Behaviours, rows and splits stand in order, and rows are exactly what they should be."""

from __future__ import annotations

import numpy as np

from reclora_cli.data import schema
from reclora_cli.data.audit.report import Check, Finding, chunks
from reclora_cli.data.store import InteractionsStore, Ints


def behaviours_in_order(store: InteractionsStore) -> list[Check]:
    """Order and ownership of every position; the other checks lean on both."""
    order = Finding("behaviours stand by user, then time, then item, each once", "position")
    owner = Finding("each user's range of the CSR holds that user's behaviours", "position")
    for part in chunks(store.header.behaviours):
        # One earlier, so that neighbours across two chunks are compared too.
        pair = slice(max(part.start - 1, 0), part.stop)
        user = np.asarray(store.user[pair])
        order.look(_not_ascending(user, store.time[pair], store.item[pair]), pair.start + 1)
        owner.look(user[part.start - pair.start :] != owners(store, part), part.start)
    return [order.check(), owner.check()]


def owners(store: InteractionsStore, part: slice) -> Ints:
    """The user whose range each position of ``part`` lies in, by ``user_start`` alone."""
    start = store.user_start
    first = int(np.searchsorted(start, part.start, side="right")) - 1
    last = int(np.searchsorted(start, part.stop - 1, side="right")) - 1
    bounds = np.clip(start[first : last + 2], part.start, part.stop)
    return np.repeat(np.arange(first, last + 1, dtype=np.int32), np.diff(bounds))


def _not_ascending(user: Ints, time: Ints, item: Ints) -> Ints:
    """(n - 1,) bool: entry i + 1 does not sort after entry i."""
    wrong = item[1:] <= item[:-1]
    wrong &= time[1:] == time[:-1]
    wrong |= time[1:] < time[:-1]
    wrong &= user[1:] == user[:-1]
    wrong |= user[1:] < user[:-1]
    return np.asarray(wrong)


def rows_in_order(store: InteractionsStore) -> list[Check]:
    """Row ids ascend in time, and so do the splits.

    Positions ascend in (user, time, item), so (time, position) is (time, user, item).
    """
    name = "rows stand by time, then user, then item, each behaviour at most once"
    order = Finding(name, "row")
    splits = Finding("train ends before valid begins, valid ends before test begins", "row")
    starts = [store.split(split).start for split in schema.SPLITS]
    latest = latest_before = np.iinfo(np.int64).min
    last: tuple[Ints, Ints] = (np.empty(0, np.int64), np.empty(0, np.int64))
    for part in _within(starts, len(store)):
        if part.start in starts:
            latest_before = latest
        at = np.asarray(store.row_position[part])
        time = store.time[at]
        at_and_before = np.concatenate([last[0], at])
        time_and_before = np.concatenate([last[1], time])
        wrong = at_and_before[1:] <= at_and_before[:-1]
        wrong &= time_and_before[1:] == time_and_before[:-1]
        wrong |= time_and_before[1:] < time_and_before[:-1]
        order.look(wrong, part.start + len(at) - len(wrong))
        splits.look(time < latest_before, part.start)
        latest = max(latest, int(time.max()))
        last = at[-1:], time[-1:]
    return [order.check(), splits.check()]


def _within(starts: list[int], size: int) -> list[slice]:
    """Chunks of the rows, none of which holds rows of two splits."""
    ends = [*starts[1:], size]
    return [
        slice(start + part.start, start + part.stop)
        for start, end in zip(starts, ends, strict=True)
        for part in chunks(end - start)
    ]


def labels_follow_ratings(store: InteractionsStore) -> Check:
    found = Finding(f"a like is a rating of {store.header.like_from:g} or more", "position")
    likes = np.asarray(store.header.rating_values) >= store.header.like_from
    for part in chunks(store.header.behaviours):
        found.look(likes[store.rating[part]] != store.label[part], part.start)
    return found.check()


def rows_are_what_follows_the_warm_up(store: InteractionsStore) -> list[Check]:
    """A user's first behaviours are history only, and every later one is a row."""
    warm_up = store.header.warm_up
    early = Finding(f"no row's target is among its user's first {warm_up} behaviours", "position")
    lacking = Finding(f"every behaviour after its user's first {warm_up} is a row", "position")
    is_row = np.zeros(store.header.behaviours, dtype=bool)
    for part in chunks(len(store)):
        is_row[store.row_position[part]] = True
    for part in chunks(store.header.behaviours):
        position = np.arange(part.start, part.stop)
        warming = position - store.user_start[owners(store, part)] < warm_up
        early.look(is_row[part] & warming, part.start)
        lacking.look(~is_row[part] & ~warming, part.start)
    return [early.check(), lacking.check()]
