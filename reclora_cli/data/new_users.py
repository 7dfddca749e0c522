"""Users whom a store does not know, over its items: what ``recommend --history`` asks about.

A view, not a copy: the items, their texts and vocabularies are the store's own; users, behaviours
and their positions are the new ones' alone, so nothing of a large store is read or written again.
Nobody here was seen in training, and there are no rows, only behaviours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from reclora_cli.data import schema
from reclora_cli.data.lookup import near_ids
from reclora_cli.data.store import InteractionsStore, Ints
from reclora_cli.errors import UsageError, did_you_mean

NO_CODE = -1
"""A field's value that no user of the store has."""

_SHOWN = 12


@dataclass(frozen=True)
class NewUser:
    """Somebody who is not in the store.

    Attributes:
        items: dense ids of the behaviours' items, in time order.
        ratings: their codes into ``header.rating_values``.
        times: seconds since 1970, ascending; empty where the order is all that is known.
        profile: column of ``store.users`` -> its value, worded as there; others are unknown.
    """

    items: Sequence[int] = ()
    ratings: Sequence[int] = ()
    times: Sequence[int] = ()
    profile: Mapping[str, str] = field(default_factory=dict)


class NewUsers(InteractionsStore):
    """A store of new users, numbered 0, 1, ... in the order given.

    Attributes:
        known: the store whose items they rate.
    """

    def __init__(self, known: InteractionsStore, users: Sequence[NewUser]) -> None:
        self.known = known
        self.folder = known.folder
        self._new = tuple(users)
        counts = [len(user.items) for user in users]
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        header, total = known.header, int(start[-1])
        self.header = replace(
            header,
            users=len(users),
            behaviours=total,
            rows=0,
            split_rows=(0, 0, 0),
            timed=header.timed and all(user.times for user in users if user.items),
        )
        self.user_start = start
        self.user = _column([at for at, count in enumerate(counts) for _ in range(count)], np.int32)
        self.item = _column([item for user in users for item in user.items], np.int32)
        self.rating = _column([code for user in users for code in user.ratings], np.uint8)
        self.time = _column([time for user in users for time in _times(user)], np.int64)
        ratings = np.array(header.rating_values)[self.rating.astype(np.int64)]
        self.label = (ratings >= header.like_from).astype(np.uint8)
        self.row_position = np.empty(0, dtype=np.int64)
        self.history_end = np.empty(0, dtype=np.int64)
        self.user_fields = np.array([self._codes(user) for user in users], dtype=np.int32)
        self.item_fields = known.item_fields

    @property
    def seen_users(self) -> Ints:
        return np.zeros(self.header.users, dtype=bool)

    @property
    def seen_items(self) -> Ints:
        return self.known.seen_items

    @property
    def items(self) -> pd.DataFrame:
        return self.known.items

    @property
    def users(self) -> pd.DataFrame:
        """As the store's; an id says which of the new ones it is, an unknown value is missing."""
        columns = [name for name in self.known.users.columns if name != schema.USER]
        said = {name: [user.profile.get(name) for user in self._new] for name in columns}
        ids = [f"new user {number}" for number in range(1, len(self._new) + 1)]
        return pd.DataFrame({schema.USER: ids, **said}, dtype=object)

    def _codes(self, user: NewUser) -> list[int]:
        """The user's fields as the store's columns number them."""
        codes = [NO_CODE]
        for name in self.header.user_fields[1:]:
            said = user.profile.get(name)
            values = [] if said is None else [str(value) for value in self.known.vocabulary(name)]
            codes.append(values.index(said) if said in values else NO_CODE)
        return codes


def profile_of(given: Mapping[str, str], store: InteractionsStore, where: str) -> dict[str, str]:
    """What a person says of a user, in the store's words.

    A value fits when it is equal but for case, or begins one value only: ``F`` is ``female``.

    Args:
        given: column of ``store.users`` -> value.

    Raises:
        UsageError: no such column, or no user of the store has such a value.
    """
    columns = [str(name) for name in store.users.columns if name != schema.USER]
    found = {}
    for name, said in given.items():
        if name not in columns:
            hint = did_you_mean(name, columns)
            raise UsageError(f"users have no {name!r} here", where=where, hint=hint)
        known = [str(value) for value in store.vocabulary(name)] if _is_field(name, store) else []
        found[name] = _fitting(name, said, known, where) if known else said
    return found


def _is_field(name: str, store: InteractionsStore) -> bool:
    return name in store.header.user_fields


def _fitting(name: str, said: str, known: Sequence[str], where: str) -> str:
    folded = said.strip().casefold()
    equal = [value for value in known if value.casefold() == folded]
    fits = equal or [value for value in known if folded and value.casefold().startswith(folded)]
    if len(fits) == 1:
        return fits[0]
    what = f"several values of {name} begin with" if fits else f"no user here has {name}"
    raise UsageError(
        f"{what} {said!r}",
        where=where,
        hint=f"{_some(said, fits or known)} Leave {name} out where none fits.",
    )


def _some(said: str, names: Sequence[str]) -> str:
    """All of ``names``, or those near to what was said: there may be thousands of zip codes."""
    if len(names) > _SHOWN:
        return f"Near ones: {', '.join(near_ids(said, names))}."
    return f"Known: {', '.join(sorted(names))}."


def _times(user: NewUser) -> Sequence[int]:
    return user.times or range(len(user.items))


def _column(values: Sequence[int], kind: type[np.integer]) -> Ints:
    """A column of the CSR. Where there are no behaviours it holds one that is nobody's: readers
    look at position 0 in place of none."""
    return np.array(values or [0], dtype=kind)
