"""Scores of pairs of any users and items, known or not, and what is to be said of each.

A user whom the store does not know is read as one whom training has not seen, without profile and
without behaviours. An item that it does not know has no title to ask about: there is no score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.histories import NOW
from reclora_cli.data.lookup_many import SEVERAL, UNKNOWN
from reclora_cli.data.new_users import NewUser
from reclora_cli.data.pairs import Pairs
from reclora_cli.data.store import InteractionsStore
from reclora_cli.progress import SILENT, Progress
from reclora_cli.scoring.kept_pairs import RECORD, Records
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.new_sources import NewSources

Answers = Callable[[Sources, Questions, Progress], NDArray[np.float64]]
"""P(yes) of questions about users of the sources' store."""


class Note(IntFlag):
    """What is to be said of a pair, besides its score."""

    UNKNOWN_USER = 1
    UNSEEN_USER = 2
    NO_PAST = 4
    UNKNOWN_ITEM = 8
    SEVERAL_ITEMS = 16
    UNSEEN_ITEM = 32
    RATED = 64


WORDS = {
    Note.UNKNOWN_USER: "unknown user, read as unseen without behaviours",
    Note.UNSEEN_USER: "user unseen in training",
    Note.NO_PAST: "no behaviours before",
    Note.UNKNOWN_ITEM: "unknown item, no score",
    Note.SEVERAL_ITEMS: "title of several items, no score",
    Note.UNSEEN_ITEM: "item unseen in training",
    Note.RATED: "rated by the user, asked as it stood before",
}


def words(note: int) -> str:
    """The notes of a pair, divided by ``"; "``; empty where there is nothing to say."""
    return "; ".join(said for flag, said in WORDS.items() if note & flag)


@dataclass(frozen=True)
class PairScorer:
    """What answers, and what it reads."""

    sources: Sources
    answers: Answers

    def score(self, pairs: Pairs, progress: Progress = SILENT) -> Records:
        """A record for each pair, in order."""
        found = np.empty(len(pairs), RECORD)
        found["probability"], found["note"] = np.nan, 0
        known_item, known_user = pairs.items >= 0, pairs.users >= 0
        _add(found, pairs.items == UNKNOWN, Note.UNKNOWN_ITEM)
        _add(found, pairs.items == SEVERAL, Note.SEVERAL_ITEMS)
        _add(found, ~known_user, Note.UNKNOWN_USER)
        self._known(pairs, np.flatnonzero(known_item & known_user), found, progress)
        self._strangers(pairs, np.flatnonzero(known_item & ~known_user), found, progress)
        return found

    def _known(
        self, pairs: Pairs, at: NDArray[np.int64], found: Records, progress: Progress
    ) -> None:
        if not len(at):
            return
        store = self.sources.store
        questions = Questions.of_pairs(store, pairs.users[at], pairs.items[at], pairs.times[at])
        found["note"][at] |= notes(store, questions, pairs.times[at])
        found["probability"][at] = self.answers(self.sources, questions, progress)

    def _strangers(
        self, pairs: Pairs, at: NDArray[np.int64], found: Records, progress: Progress
    ) -> None:
        if len(at):
            nobody = np.zeros(len(at), dtype=np.int64)
            questions = Questions(nobody, pairs.items[at], nobody)
            unseen = ~self.sources.store.seen_items[pairs.items[at]]
            _add(found, at[unseen], Note.UNSEEN_ITEM)
            found["probability"][at] = self.answers(self._stranger, questions, progress)

    @cached_property
    def _stranger(self) -> NewSources:
        return NewSources(self.sources, [NewUser()])


def notes(
    store: InteractionsStore, questions: Questions, times: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """(n,) what is to be said of questions about known users and items.

    Args:
        times: (n,) when each is asked, or ``NOW``.
    """
    users, ends = questions.users, questions.ends
    rated = (times == NOW) & (ends < store.user_start[users + 1])
    found = np.zeros(len(questions), dtype=np.uint8)
    for flag, where in (
        (Note.UNSEEN_USER, ~store.seen_users[users]),
        (Note.NO_PAST, ends == store.user_start[users]),
        (Note.UNSEEN_ITEM, ~store.seen_items[questions.items]),
        (Note.RATED, rated),
    ):
        found[where] |= np.uint8(flag)
    return found


def _add(found: Records, where: NDArray[Any], note: Note) -> None:
    found["note"][where] |= np.uint8(note)
