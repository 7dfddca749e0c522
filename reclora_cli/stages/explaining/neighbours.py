"""Users whose gate weights are nearest to a user's, and what they share.

Distance is total variation, mean over projections: the share of the weight that lies elsewhere, 0
(alike) to 1. What is shared is told of all that the store knows of both users, as it lies there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.store import InteractionsStore
from reclora_cli.prompt.write import UNKNOWN
from reclora_cli.scoring.questions import Positions
from reclora_cli.stages.explaining.gate_sample import GateSample
from reclora_cli.stages.explaining.item_traits import item_genres

NEAREST = 3
_GENRES = 3
_FILMS = 3
_MORE = 0.05
"""By how much a genre's share of a user's likes is above its share of all likes, to be told."""
_UNTOLD = {"", "None", UNKNOWN}
"""What is said where a user has no value: two who lack one share none."""


@dataclass(frozen=True)
class Neighbour:
    """A user near the one explained.

    Attributes:
        distance: total variation of gate weights, mean over projections, 0 to 1.
        profile: fields in which both have the same value; one that neither has is none.
        genres: of which both like more than the average: each one's share of either's likes is at
            least .05 above its share of all likes. The most above in both first, three at most.
        liked: titles both liked, those that fewest liked first, three at most, of ``liked_count``.
    """

    user: str
    distance: float
    profile: dict[str, str]
    genres: list[str]
    liked: list[str]
    liked_count: int


def distances(weights: NDArray[np.float32], sample: GateSample) -> NDArray[np.float64]:
    """(U,) from ``weights``, (P, K), to each user of the sample."""
    apart = np.abs(sample.user_weights - weights[None]).sum(axis=-1, dtype=np.float64)
    return apart.mean(axis=-1) / 2


def others(
    weights: NDArray[np.float32], sample: GateSample, who: int
) -> tuple[Positions, NDArray[np.float64]]:
    """Users of the sample but ``who``, nearest first, and their distances."""
    far = distances(weights, sample)
    order = np.argsort(far, kind="stable")
    order = order[sample.users[order] != who]
    return sample.users[order], far[order]


def neighbours(
    store: InteractionsStore, who: int, weights: NDArray[np.float32], sample: GateSample
) -> list[Neighbour]:
    """The nearest to user ``who``, whose gate weights are ``weights`` (P, K)."""
    users, far = others(weights, sample, who)
    shared = _Shared(store, who)
    return [
        shared.neighbour(int(user), float(distance))
        for user, distance in zip(users[:NEAREST], far[:NEAREST], strict=True)
    ]


class _Shared:
    """What other users have in common with one."""

    def __init__(self, store: InteractionsStore, who: int) -> None:
        self._store, self._who = store, who
        self._genres, self._names = item_genres(store)
        self._likes = np.bincount(store.item[store.label == 1], minlength=store.header.items)
        total = max(int(self._likes.sum()), 1)
        self._share = (self._likes @ self._genres) / total
        self._own = self._liked(who)

    def neighbour(self, user: int, distance: float) -> Neighbour:
        both = np.intersect1d(self._own, self._liked(user))
        rare = both[np.argsort(self._likes[both], kind="stable")][:_FILMS]
        titles = self._store.items[schema.TITLE]
        return Neighbour(
            user=str(self._store.users[schema.USER].iloc[user]),
            distance=round(distance, 6),
            profile=self._profile(user),
            genres=self._liked_more(user),
            liked=[str(titles.iloc[int(item)]) for item in rare],
            liked_count=len(both),
        )

    def _liked(self, user: int) -> Positions:
        start, end = (int(at) for at in self._store.user_start[user : user + 2])
        own = self._store.item[start:end][self._store.label[start:end] == 1]
        return np.unique(own).astype(np.int64)

    def _profile(self, user: int) -> dict[str, str]:
        one, other = (self._store.users.iloc[at] for at in (self._who, user))
        names = [str(name) for name in one.index if name != schema.USER]
        same = {name: str(one[name]) for name in names if str(one[name]) == str(other[name])}
        return {name: value for name, value in same.items() if value not in _UNTOLD}

    def _liked_more(self, user: int) -> list[str]:
        above = [self._above(self._own), self._above(self._liked(user))]
        least = np.minimum(*above)
        order = np.argsort(-least, kind="stable")[:_GENRES]
        return [self._names[at] for at in order if least[at] >= _MORE]

    def _above(self, liked: Positions) -> NDArray[np.float64]:
        if not len(liked):
            return np.full(len(self._names), -np.inf)
        return self._genres[liked].mean(axis=0) - self._share
