"""MovieLens 100K as LLaRA splits it: its published validation and test rows, and training rows
that are cut in the same way from the other users of ``u.data``.

What was found by comparing all 189 published rows with ``u.data``, and is checked on each reading:

* Item ids are those of ``u.item`` less 1; an entry is (item, rating); padding is item 1682.
* Behaviours rated below 3 are left out (``next.rated_from``).
* A row is the end of one user's behaviours in time order: the last is the target, up to ten before
  it the history. Within one second the order is not that of ``u.data``, nor of ids.
* Users are split 8:1:1 by the time of their first behaviour: 754 for training, 94, 95.

Training rows are each position of a training user's behaviours, as in LLaRA's LastFM. Behaviours of
one second stand in order of item ids in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from reclora_cli.data import schema
from reclora_cli.data.sequences.rows import PADDING, Ints, Past, SequenceRows, Sequences, windows
from reclora_cli.data.sequences.sources import llara
from reclora_cli.data.sequences.sources.base import SequenceSource
from reclora_cli.data.sources import ml_100k
from reclora_cli.errors import RecloraError
from reclora_cli.recipe.next_item import NextRecipe

_PADDING = 1682


def read(files: Mapping[str, Path], recipe: NextRecipe) -> Sequences:
    """Published rows with their users found in ``u.data``, and the training rows of the others.

    Raises:
        RecloraError: a file is damaged, or a published row is of none or of several users.
    """
    films, ratings = _movielens(files)
    kept = ratings[ratings[schema.RATING] >= (recipe.rated_from or 0)]
    splits: dict[str, SequenceRows] = {}
    short = 0
    for split in ("valid", "test"):
        rows = _published(files[split], kept, len(films), recipe.history)
        long_enough = rows.length >= min(recipe.least_history, recipe.history)
        short += int((~long_enough).sum())
        splits[split] = rows.chosen(long_enough)
    others = ~kept[schema.USER].isin(np.concatenate([rows.user for rows in splits.values()]))
    splits["train"] = _every_position(kept[others], recipe.history)
    below = len(ratings) - len(kept)
    left_out = {"behaviours rated below next.rated_from": below, llara.SHORT: short}
    return Sequences(
        items=films,
        splits={name: splits[name] for name in schema.SPLITS},
        past=_past(ratings, splits),
        noun="movie",
        split_by="users, by the time of their first behaviour",
        by_time=False,
        left_out={reason: n for reason, n in left_out.items() if n},
    )


def _movielens(files: Mapping[str, Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Items by LLaRA's ids, and ratings in order of (user, time, item) with those ids."""
    raw = ml_100k.read(files["u.data"].parent)
    (chunk,) = raw.interactions()
    ratings = pd.DataFrame(
        {
            schema.USER: chunk.users.to_numpy(),
            schema.ITEM: chunk.items.to_numpy() - 1,
            schema.RATING: chunk.ratings,
            schema.TIME: chunk.times,
        }
    ).sort_values([schema.USER, schema.TIME, schema.ITEM], ignore_index=True)
    films = raw.items(chunk.items.unique()).sort_values(schema.ITEM, ignore_index=True)
    films[schema.ITEM] -= 1
    if films[schema.ITEM].tolist() != list(range(_PADDING)):
        raise RecloraError(
            f"{len(films)} rated movies, and MovieLens 100K has ids 1 to {_PADDING}",
            where=str(files["u.data"]),
            hint="Get the files once more: https://files.grouplens.org/datasets/movielens/",
        )
    return films[[schema.ITEM, schema.TITLE]], ratings


def _published(file: Path, kept: pd.DataFrame, items: int, length: int) -> SequenceRows:
    frame = llara.read_rows(file)
    entries, last = llara.stacked(frame, file), np.stack(frame["next"].to_list()).astype(np.int64)
    if entries.ndim != 3 or last.ndim != 2:
        raise RecloraError(
            "entries are no pairs of item and rating", where=str(file), hint=llara.WHERE_FROM
        )
    history, target = entries[:, :, 0], last[:, 0]
    llara.require_items(
        history, target, padding=_PADDING, items=items, file=file, label="MovieLens"
    )
    user = _users_of(entries, last, kept, file)
    times = kept.set_index([schema.USER, schema.ITEM])[schema.TIME]
    time = times.loc[list(zip(user.tolist(), target.tolist(), strict=True))].to_numpy()
    history = np.where(history == _PADDING, PADDING, history)
    return SequenceRows.of(llara.shortened(history, length), target, user, time)


def _users_of(entries: Ints, last: Ints, kept: pd.DataFrame, file: Path) -> Ints:
    """The user of each published row: the only one whose behaviours end in it, in any order within
    a second, (n,) ids of ``u.data``."""
    pairs = kept[[schema.ITEM, schema.RATING]].astype(int).apply(tuple, axis=1)
    had = {user: set(of) for user, of in pairs.groupby(kept[schema.USER])}
    ends = {user: of.to_numpy() for user, of in kept.groupby(schema.USER)[schema.TIME]}
    times = dict(zip(zip(kept[schema.USER], pairs, strict=True), kept[schema.TIME], strict=True))
    found = []
    for row, (history, target) in enumerate(zip(entries.tolist(), last.tolist(), strict=True)):
        behaviours = [tuple(pair) for pair in [*history, target] if pair[0] != _PADDING]
        users = [
            user
            for user, of in had.items()
            if of.issuperset(behaviours)
            and [times[user, pair] for pair in behaviours]
            == ends[user][-len(behaviours) :].tolist()
        ]
        if len(users) != 1:
            raise RecloraError(
                f"row {row} ends the behaviours of {len(users)} users of u.data, not of one",
                where=str(file),
                hint="It holds LLaRA's rows under `--set next.rated_from=3`, as ml-100k-next says.",
            )
        found.append(users[0])
    return np.array(found)


def _every_position(kept: pd.DataFrame, length: int) -> SequenceRows:
    """Each behaviour but a user's first as a target, with those before it."""
    user = kept[schema.USER].to_numpy()
    items = kept[schema.ITEM].to_numpy()
    first = np.searchsorted(user, user, side="left")
    ends = np.arange(len(user))
    rows = SequenceRows.of(
        windows(items, first, ends, length), items, user, kept[schema.TIME].to_numpy()
    )
    return rows.chosen(rows.length > 0)


def _past(ratings: pd.DataFrame, splits: Mapping[str, SequenceRows]) -> Past:
    """All that a row's user had rated before the target's second, however it was rated, and the
    rest of its history."""
    by_user: dict[int, pd.DataFrame] = dict(iter(ratings.groupby(schema.USER)))  # type: ignore[arg-type]

    def past(split: str, row: int) -> Ints:
        rows = splits[split]
        of = by_user[int(rows.user[row])]
        before = of[schema.ITEM].to_numpy()[of[schema.TIME].to_numpy() < rows.time[row]]
        return np.union1d(before, rows.history[row, : rows.length[row]])

    return past


SOURCE = SequenceSource(
    name="ml-100k-next",
    label="MovieLens 100K, LLaRA's split",
    files={
        "valid": ("llara/movielens/val.parquet", "movielens/val.parquet", "val.parquet"),
        "test": ("llara/movielens/test.parquet", "movielens/test.parquet", "test.parquet"),
        **{name: (f"ml-100k/{name}", name) for name in ("u.data", "u.item", "u.user")},
    },
    where_from=f"{llara.WHERE_FROM} MovieLens 100K goes into a folder ml-100k beside them: "
    "https://files.grouplens.org/datasets/movielens/ml-100k.zip.",
    read=read,
)
