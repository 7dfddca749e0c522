"""Sequences of any dataset that is prepared for the task ``rate``: each user's behaviours in time
order, split by the target's time.

Every behaviour with one before it is a row, and its history ends strictly before it in the store's
order; under ``ties: exclude`` also before its second. All rows of all users in order of (time,
user, item) are cut train : valid : test. A row's known past is all that its user had done before,
what ``rated_from`` leaves out of histories too.
"""

from __future__ import annotations

import numpy as np

from reclora_cli.data import schema
from reclora_cli.data.sequences.rows import Ints, SequenceRows, Sequences, windows
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError
from reclora_cli.recipe.next_item import NextRecipe

BELOW = "behaviours rated below next.rated_from"
FIRST = "behaviours with no other before them"
SHORT = "validation and test rows with a history below next.least_history"


def read(
    store: InteractionsStore, recipe: NextRecipe, split: tuple[int, int, int], ties: str
) -> Sequences:
    """The sequences of ``store``, in memory: 4 (L + 5) bytes a behaviour.

    Raises:
        RecloraError: a split is left without a row.
    """
    position = np.flatnonzero(_rated_from(store, recipe.rated_from))
    user, item, time = (np.asarray(of[position]) for of in (store.user, store.item, store.time))
    start = np.searchsorted(user, user, side="left")
    end = _before_the_second(user, time) if ties == "exclude" else np.arange(len(user))
    targets = np.flatnonzero(end > start)
    ordered = targets[np.lexsort((item[targets], user[targets], time[targets]))]
    cut = np.array([0, *np.cumsum(split)]) * len(ordered) // sum(split)
    left_out = {BELOW: store.header.behaviours - len(position), FIRST: len(user) - len(targets)}
    splits: dict[str, SequenceRows] = {}
    known: dict[str, Ints] = {}
    for at, name in enumerate(schema.SPLITS):
        chosen = ordered[cut[at] : cut[at + 1]]
        if name != "train":
            least = min(recipe.least_history, recipe.history)
            long_enough = end[chosen] - start[chosen] >= least
            left_out[SHORT] = left_out.get(SHORT, 0) + int((~long_enough).sum())
            chosen = chosen[long_enough]
        if not len(chosen):
            raise RecloraError(
                f"no row is left for {name}",
                where=str(store.folder),
                hint="Lower next.rated_from or next.least_history with --set.",
            )
        history = windows(item, start[chosen], end[chosen], recipe.history)
        splits[name] = SequenceRows.of(history, item[chosen], user[chosen], time[chosen])
        known[name] = position[chosen]

    def past(split: str, row: int) -> Ints:
        own = known[split][row]
        return store.item[store.user_start[store.user[own]] : own]

    return Sequences(
        items=store.items[[schema.ITEM, schema.TITLE]],
        splits=splits,
        past=past,
        noun=store.header.noun,
        split_by="the target's time",
        by_time=True,
        left_out={reason: n for reason, n in left_out.items() if n},
    )


def _rated_from(store: InteractionsStore, least: float | None) -> Ints:
    if least is None:
        return np.ones(store.header.behaviours, dtype=bool)
    enough = np.asarray(store.header.rating_values) >= least
    return np.asarray(enough[store.rating])


def _before_the_second(user: Ints, time: Ints) -> Ints:
    """Where the run of behaviours of the same user and time starts, (n,)."""
    fresh = np.ones(len(user), dtype=bool)
    fresh[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    return np.maximum.accumulate(np.where(fresh, np.arange(len(user)), 0))
