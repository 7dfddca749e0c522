"""Which row of the task ``next`` is asked about: by its number, or as a user's latest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reclora_cli.data import schema
from reclora_cli.data.lookup import find_id
from reclora_cli.data.sequences.rows import PADDING
from reclora_cli.data.sequences.store import WITH_CANDIDATES, SequenceStore
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate
from reclora_cli.workspace import Workspace

_BY_NUMBER = "Name a row instead: --row 17."


@dataclass(frozen=True)
class AskedRow:
    """One row with candidates.

    Attributes:
        split: ``valid`` or ``test``.
        row: its number in the split.
        user: as the dataset writes it; ``None`` where it is not known.
    """

    split: str
    row: int
    user: str | None


class NextUsers:
    """Users of a dataset's sequences, as far as they are known.

    Of a dataset that ``prepare`` made of interactions the sequences hold the numbers of its store;
    of a published one the source's own ids, or none.
    """

    def __init__(self, recipe: Recipe, workspace: Workspace, store: SequenceStore) -> None:
        self._store = store
        manifest = locate.store(recipe, workspace).manifest()
        made_from = (manifest.inputs if manifest else {}).get("interactions")
        of_rate = locate.store(recipe.model_copy(update={"task": "rate"}), workspace)
        self._interactions: InteractionsStore | None = None
        self._gone = made_from is not None
        if made_from is not None and of_rate.manifest() and of_rate.identity() == made_from:
            self._interactions, self._gone = InteractionsStore(of_rate.path), False

    def name(self, user: int) -> str | None:
        """What the dataset calls a user; ``None`` where that is not known."""
        if user == PADDING or self._gone:
            return None
        if self._interactions is None:
            return str(user)
        return str(self._interactions.users[schema.USER].iloc[user])

    def find(self, text: str) -> int:
        """The number of the user whose id is ``text``.

        Raises:
            UsageError: there is none, or no row of this dataset has a known user.
            RecloraError: the interactions that the sequences were made from are not there any more.
        """
        if self._gone:
            raise RecloraError(
                "the interactions that these sequences were made from changed or are gone",
                where="--user",
                hint=f"{_BY_NUMBER} Or prepare it again.",
            )
        if self._interactions is not None:
            return self._interactions.find_user(text)
        known = np.unique(np.concatenate([self._users(split) for split in WITH_CANDIDATES]))
        named: list[int] = known[known != PADDING].tolist()
        if not named:
            raise UsageError(
                f"{self._store.header.dataset} is published without users",
                where="--user",
                hint=_BY_NUMBER,
            )
        return named[find_id(text, named, "user", "--user")]

    def latest(self, user: int, splits: tuple[str, ...]) -> tuple[str, int] | None:
        """Split and number of the user's latest row in ``splits``; of equal times the last one."""
        found = [
            (int(self._store.split(split).time[row]), schema.SPLITS.index(split), int(row))
            for split in splits
            for row in np.flatnonzero(np.asarray(self._users(split)) == user)
        ]
        if not found:
            return None
        _, split, row = max(found)
        return schema.SPLITS[split], row

    def _users(self, split: str) -> np.ndarray:
        return np.asarray(self._store.split(split).user)


def choose_row(
    recipe: Recipe,
    workspace: Workspace,
    store: SequenceStore,
    *,
    row: int | None,
    user: str | None,
    split: str | None,
) -> AskedRow:
    """The row ``row`` of ``split`` (test by default), or the latest one of ``user``.

    Args:
        split: of ``user``: where rows are looked for; by default in both splits with candidates.

    Raises:
        UsageError: neither or both are named, or there is no such row or user.
        RecloraError: see ``NextUsers.find``.
    """
    if (row is None) == (user is None):
        what = "a row is named twice" if user is not None else "which row?"
        raise UsageError(what, where="--row and --user", hint="Give one: --row 17.")
    users = NextUsers(recipe, workspace, store)
    if row is None:
        assert user is not None, "one of both is named"
        splits = WITH_CANDIDATES if split is None else (split,)
        found = users.latest(users.find(user), splits)
        if found is None:
            raise UsageError(
                f"user {user} has no {' and no '.join(splits)} row, and only those have candidates",
                where="--user",
                hint=_BY_NUMBER,
            )
        return AskedRow(*found, users.name(users.find(user)))
    chosen = split or "test"
    known = len(store.split(chosen))
    if not 0 <= row < known:
        raise UsageError(
            f"{chosen} has {known:,} rows, and {row} is none of them",
            where="--row",
            hint=f"Rows are counted from 0 to {known - 1:,}.",
        )
    return AskedRow(chosen, row, users.name(int(store.split(chosen).user[row])))
