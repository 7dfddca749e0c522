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
        at = np.flatnonzero(known_item)
        _add(found, at[~self._seen_items[pairs.items[at]]], Note.UNSEEN_ITEM)
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
        users, ends = questions.users, questions.ends
        _add(found, at[~store.seen_users[users]], Note.UNSEEN_USER)
        _add(found, at[ends == store.user_start[users]], Note.NO_PAST)
        earlier = (pairs.times[at] == NOW) & (ends < store.user_start[users + 1])
        _add(found, at[earlier], Note.RATED)
        found["probability"][at] = self.answers(self.sources, questions, progress)

    def _strangers(
        self, pairs: Pairs, at: NDArray[np.int64], found: Records, progress: Progress
    ) -> None:
        if len(at):
            nobody = np.zeros(len(at), dtype=np.int64)
            questions = Questions(nobody, pairs.items[at], nobody)
            found["probability"][at] = self.answers(self._stranger, questions, progress)

    @cached_property
    def _stranger(self) -> NewSources:
        return NewSources(self.sources, [NewUser()])

    @property
    def _seen_items(self) -> NDArray[np.bool_]:
        return self.sources.store.seen_items


def _add(found: Records, where: NDArray[Any], note: Note) -> None:
    found["note"][where] |= np.uint8(note)
