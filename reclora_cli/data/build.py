"""From a source's tables to the interactions store (method.md section 3), vectorised.

Global order is (timestamp, user, item). The first ``warm_up`` interactions of each user are
history only. The remaining ones, in global order, are the rows; they are split by position in
that order, so every validation row comes after every training row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reclora_cli.data import schema
from reclora_cli.data.sources.base import RawDataset, Source
from reclora_cli.data.store import InteractionsStore, Ints, StoreHeader
from reclora_cli.errors import RecloraError
from reclora_cli.recipe.tree import DataRecipe


def build_store(raw: RawDataset, source: Source, recipe: DataRecipe, folder: Path) -> StoreHeader:
    """Write the store of ``raw`` into ``folder``.

    Raises:
        RecloraError: a rating off the source's scale, or too few interactions to split.
    """
    users = _described(raw.users, raw.interactions, schema.USER)
    items = _described(raw.items, raw.interactions, schema.ITEM)
    user_codes, user_vocabularies = _encode(users, source.user_fields)
    item_codes, item_vocabularies = _encode(items, source.item_fields)
    behaviours = _behaviours(raw.interactions, users, items, source, recipe)
    rows = _rows(behaviours, recipe)
    header = StoreHeader(
        dataset=source.name,
        users=len(users),
        items=len(items),
        behaviours=len(behaviours["user"]),
        rows=len(rows["row_position"]),
        user_fields=source.user_fields,
        item_fields=source.item_fields,
        rating_values=source.rating_values,
        split_rows=split_sizes(len(rows["row_position"]), recipe.split),
        warm_up=recipe.warm_up,
        ties=recipe.ties,
        like_from=recipe.like_from,
        noun=source.noun,
    )
    arrays = {**behaviours, **rows, "user_fields": user_codes, "item_fields": item_codes}
    vocabularies = {**user_vocabularies, **item_vocabularies}
    InteractionsStore.write(folder, header, arrays, users, items, vocabularies)
    return header


def split_sizes(rows: int, shares: tuple[int, int, int]) -> tuple[int, int, int]:
    """Rows of train, valid and test: the first two rounded down, the rest to test.

    Raises:
        RecloraError: one of them would be empty.
    """
    train, valid = (rows * share // sum(shares) for share in shares[:2])
    sizes = (train, valid, rows - train - valid)
    if min(sizes) < 1:
        raise RecloraError(
            f"{rows} rows are too few for a split of {shares[0]}:{shares[1]}:{shares[2]}",
            where="data.split",
            hint="Give more data, a smaller data.warm_up, or another data.split.",
        )
    return sizes


def _described(table: pd.DataFrame, interactions: pd.DataFrame, key: str) -> pd.DataFrame:
    """The users (items) that interact, in ascending order of their source id."""
    active = table[table[key].isin(interactions[key].unique())]
    return active.sort_values(key, ignore_index=True)


def _encode(table: pd.DataFrame, fields: tuple[str, ...]) -> tuple[Ints, dict[str, list[Any]]]:
    """Codes (n, F) int32 into each field's sorted values, and those values."""
    columns, vocabularies = [], {}
    for field in fields:
        codes, values = pd.factorize(table[field], sort=True)
        columns.append(codes.astype(np.int32))
        vocabularies[field] = values.tolist()
    return np.stack(columns, axis=1), vocabularies


def _behaviours(
    interactions: pd.DataFrame,
    users: pd.DataFrame,
    items: pd.DataFrame,
    source: Source,
    recipe: DataRecipe,
) -> dict[str, Ints]:
    """The CSR: all interactions in order of (user, timestamp, item)."""
    user = _dense(interactions[schema.USER], users[schema.USER])
    item = _dense(interactions[schema.ITEM], items[schema.ITEM])
    time = interactions[schema.TIME].to_numpy(np.int64)
    rating = interactions[schema.RATING].to_numpy()
    order = np.lexsort((item, time, user))
    per_user = np.bincount(user, minlength=len(users))
    return {
        "user": user[order],
        "item": item[order],
        "rating": _rating_codes(rating, source.rating_values)[order],
        "time": time[order],
        "label": (rating[order] >= recipe.like_from).astype(np.uint8),
        "user_start": np.concatenate([[0], np.cumsum(per_user)]).astype(np.int64),
    }


def _dense(ids: pd.Series, known: pd.Series) -> Ints:
    """Place of each id in ``known``, (n,) int32."""
    places = pd.Index(known).get_indexer(ids)
    assert (places >= 0).all(), "readers check that every id is described"
    return places.astype(np.int32)


def _rating_codes(ratings: Ints, values: tuple[float, ...]) -> Ints:
    scale = np.asarray(values)
    codes = np.searchsorted(scale, ratings).clip(max=len(scale) - 1)
    off = np.flatnonzero(scale[codes] != ratings)
    if len(off):
        raise RecloraError(
            f"rating {ratings[off[0]]} is off the scale",
            where=f"interaction {int(off[0]) + 1}",
            hint=f"Expected one of {', '.join(f'{value:g}' for value in values)}.",
        )
    return codes.astype(np.uint8)


def _rows(behaviours: dict[str, Ints], recipe: DataRecipe) -> dict[str, Ints]:
    """Position and history end of every row, rows in global order."""
    user, time = behaviours["user"], behaviours["time"]
    position = np.arange(len(user), dtype=np.int32)
    is_target = position - behaviours["user_start"][user] >= recipe.warm_up
    targets = position[is_target]
    # Positions ascend in (user, time, item), so a stable sort by time alone gives
    # (time, user, item).
    row_position = targets[np.argsort(time[targets], kind="stable")]
    ends = position if recipe.ties == "include" else _first_of_second(user, time)
    return {"row_position": row_position, "history_end": ends[row_position]}


def _first_of_second(user: Ints, time: Ints) -> Ints:
    """For each position the first position of the same user and second, (n,) int32."""
    position = np.arange(len(user), dtype=np.int32)
    starts = np.ones(len(user), dtype=bool)
    starts[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    return np.maximum.accumulate(np.where(starts, position, 0))
