"""Whom ``recommend`` recommends to: a user of the store, or somebody new with what they rated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.rated import Rated, new_user
from reclora_cli.errors import UsageError
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.new_sources import NewSources

Items = NDArray[np.int64]


@dataclass(frozen=True)
class AskedUser:
    """One user, and what questions about the user are read from.

    Attributes:
        sources: their store holds the user.
        user: dense id there.
        name: the id as the dataset writes it; ``None`` of somebody new.
        profile: what is known, in the store's words.
    """

    sources: Sources
    user: int
    name: str | None
    profile: dict[str, str]

    @classmethod
    def stored(cls, sources: Sources, user: str) -> AskedUser:
        """The user whose id is ``user``.

        Raises:
            UsageError: there is none; names near ones.
        """
        return cls.at(sources, sources.store.find_user(user))

    @classmethod
    def at(cls, sources: Sources, who: int) -> AskedUser:
        """The user whose dense id is ``who``."""
        store = sources.store
        line = store.users.iloc[who]
        profile = {str(name): str(value) for name, value in line.items() if name != schema.USER}
        return cls(sources, who, str(line[schema.USER]), profile)

    @classmethod
    def new(cls, sources: Sources, rated: list[Rated], profile: Mapping[str, str]) -> AskedUser:
        """Somebody who is not in the store of ``sources``."""
        user = new_user(rated, profile, sources.store)
        return cls(NewSources(sources, [user]), 0, None, dict(profile))

    @property
    def past(self) -> slice:
        """The user's behaviours in the store's CSR."""
        start, end = self.sources.store.user_start[self.user : self.user + 2]
        return slice(int(start), int(end))

    @property
    def unseen_items(self) -> Items:
        """Dense ids of the items that the user has no behaviour of, ascending."""
        store = self.sources.store
        unseen = np.ones(store.header.items, dtype=bool)
        unseen[store.item[self.past]] = False
        return np.flatnonzero(unseen)

    def liked_items(self, most: int) -> Items:
        """Items of the latest liked behaviours, at most so many.

        Raises:
            UsageError: none is liked.
        """
        store = self.sources.store
        liked = np.flatnonzero(store.label[self.past]) + self.past.start
        if not len(liked):
            raise UsageError(
                f"none of the user's behaviours is a like (a rating of "
                f"{store.header.like_from:g} or more)",
                where="--by similar",
                hint="Use --by crm.",
            )
        return np.unique(store.item[liked[-most:]]).astype(np.int64)

    def ask(self, items: Items) -> Questions:
        """Each of ``items``, unseen ones, asked about after all of the user's behaviours."""
        ends = np.full(len(items), self.past.stop)
        return Questions(np.full(len(items), self.user), np.asarray(items, np.int64), ends)
