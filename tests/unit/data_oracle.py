"""The store's meaning, written row by row: slow and obvious."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from hypothesis import strategies as st

from reclora_cli import recipe
from reclora_cli.data.building.build import build_store
from reclora_cli.data.building.columns import PIECE
from reclora_cli.data.sources.base import RawDataset, whole
from reclora_cli.data.sources.ml_1m import SOURCE
from reclora_cli.data.store import InteractionsStore

_PROTOCOL = recipe.load("ml-1m").data


@dataclass(frozen=True, order=True)
class Interaction:
    """Sorts in the store's global order."""

    time: int
    user: int
    item: int
    rating: int


@st.composite
def interactions(draw: st.DrawFn, fewest: int = 12, most: int = 60) -> list[Interaction]:
    """Interactions of few users and items in few seconds, so that ties abound."""
    pairs = st.tuples(st.integers(1, 5), st.integers(1, 15))
    chosen = draw(st.lists(pairs, unique=True, min_size=fewest, max_size=most))
    times = st.integers(100, 112)
    ratings = st.integers(1, 5)
    return [Interaction(draw(times), user, item, draw(ratings)) for user, item in chosen]


def interactions_table(found: list[Interaction]) -> pd.DataFrame:
    """``found`` as the columns of a ratings file."""
    return pd.DataFrame(
        [(one.user, one.item, one.rating, one.time) for one in found],
        columns=["user_id", "item_id", "rating", "timestamp"],
    )


def raw_dataset(found: list[Interaction], idle_items: Sequence[int] = ()) -> RawDataset:
    """``found`` as a source reads it, with profiles and titles made up from the ids.

    Args:
        idle_items: ids of items that are described and never rated.
    """
    users = sorted({one.user for one in found})
    items = sorted({one.item for one in found} | set(idle_items))
    return whole(
        interactions=interactions_table(found),
        users=pd.DataFrame(
            {
                "user_id": users,
                "gender": ["male" if user % 2 else "female" for user in users],
                "age": [f"{user % 3}" for user in users],
                "job": [f"job {user % 4}" for user in users],
                "zipcode": [f"{user}" for user in users],
            }
        ),
        items=pd.DataFrame(
            {
                "item_id": items,
                "title": [f"title {item}" for item in items],
                "genre": [f"genre {item % 3}" for item in items],
                "genres": [[f"genre {item % 3}"] for item in items],
            }
        ),
        file=Path("ratings.dat"),
    )


def built(
    found: list[Interaction],
    folder: Path,
    *,
    warm_up: int = 1,
    ties: str = "include",
    piece: int = PIECE,
) -> InteractionsStore:
    """The real store of ``found``, built in pieces of so many interactions."""
    settings = _PROTOCOL.model_copy(update={"warm_up": warm_up, "ties": ties})
    build_store(raw_dataset(found), SOURCE, settings, folder, piece=piece)
    return InteractionsStore(folder)


def target_rows(found: list[Interaction], warm_up: int) -> list[Interaction]:
    """The interactions that are rows, in global order: each user's after the warm-up."""
    rows = []
    for one in sorted(found):
        earlier = [other for other in found if other.user == one.user and other < one]
        if len(earlier) >= warm_up:
            rows.append(one)
    return rows


def history(found: list[Interaction], row: Interaction, ties: str) -> list[Interaction]:
    """The row's strict past, in order."""
    past = [other for other in found if other.user == row.user and other < row]
    if ties == "exclude":
        past = [other for other in past if other.time < row.time]
    return sorted(past)


def at_position(store: InteractionsStore, position: int) -> Interaction:
    """The interaction that stands at a position of the store's CSR."""
    return Interaction(
        time=int(store.time[position]),
        user=int(store.users["user_id"].iloc[store.user[position]]),
        item=int(store.items["item_id"].iloc[store.item[position]]),
        rating=int(store.header.rating_values[store.rating[position]]),
    )
