"""Behaviours of one user in one second: how many rows have them, and what excluding them costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reclora_cli.data import schema
from reclora_cli.data.audit.order import owners
from reclora_cli.data.audit.report import chunks
from reclora_cli.data.store import InteractionsStore, Ints

_NO_ROW = len(schema.SPLITS)


@dataclass(frozen=True)
class Ties:
    """Same-second ties of one split, under either setting of ``data.ties``.

    Attributes:
        rows: of the split.
        tied: rows before which, in order, their user has another behaviour of the same second:
            the rows whose history ``exclude`` shortens.
        lost: behaviours that ``exclude`` takes from all histories together.
        mean_history: behaviours in a row's past with ties included; ``mean_without`` without.
    """

    split: str
    rows: int
    tied: int
    lost: int
    mean_history: float
    mean_without: float


def ties(store: InteractionsStore) -> list[Ties]:
    """Of each split; read off the times, whatever the store's own setting is."""
    split_of = _split_of_position(store)
    tied, lost, past = (np.zeros(_NO_ROW + 1, dtype=np.int64) for _ in range(3))
    first = 0
    for part in chunks(store.header.behaviours):
        firsts = _first_of_second(store, part, first)
        first = int(firsts[-1])
        position = np.arange(part.start, part.stop)
        split, before = split_of[part], position - firsts
        tied += np.bincount(split[before > 0], minlength=_NO_ROW + 1)
        lost += _sums(split, before)
        past += _sums(split, position - store.user_start[owners(store, part)])
    return [
        Ties(
            split=name,
            rows=rows,
            tied=int(tied[at]),
            lost=int(lost[at]),
            mean_history=round(int(past[at]) / rows, 4),
            mean_without=round(int(past[at] - lost[at]) / rows, 4),
        )
        for at, (name, rows) in enumerate(zip(schema.SPLITS, store.header.split_rows, strict=True))
    ]


def _split_of_position(store: InteractionsStore) -> Ints:
    """(n_behaviours,) uint8 index into ``schema.SPLITS``; ``_NO_ROW`` in the warm-up."""
    found = np.full(store.header.behaviours, _NO_ROW, dtype=np.uint8)
    for at, name in enumerate(schema.SPLITS):
        split = store.split(name)
        for part in chunks(len(split)):
            found[store.row_position[split.start + part.start : split.start + part.stop]] = at
    return found


def _first_of_second(store: InteractionsStore, part: slice, carried: int) -> Ints:
    """For each position of ``part`` the first one of its user and second.

    ``carried`` is that of the position just before.
    """
    pair = slice(max(part.start - 1, 0), part.stop)
    user, time = np.asarray(store.user[pair]), np.asarray(store.time[pair])
    begins = np.ones(part.stop - part.start, dtype=bool)
    begins[len(begins) - len(user) + 1 :] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    places = np.where(begins, np.arange(part.start, part.stop), carried)
    return np.maximum.accumulate(places)


def _sums(split: Ints, values: Ints) -> Ints:
    """Sum of ``values`` by split; whole numbers below 2**53 add up exactly as float64."""
    return np.bincount(split, weights=values, minlength=_NO_ROW + 1).astype(np.int64)
