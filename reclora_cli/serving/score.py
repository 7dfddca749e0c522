"""P(yes) of pairs, as ``predict`` gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.histories import NOW
from reclora_cli.errors import UsageError
from reclora_cli.scoring.lm_scorer import Answered
from reclora_cli.scoring.questions import Questions
from reclora_cli.serving import people
from reclora_cli.serving.model import ServedModel
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.opened_run import Prompts
from reclora_cli.stages.pair_scorer import Note, notes, words


@dataclass(frozen=True)
class PairSaid:
    """A user's id, an item's id or title, and when the pair is asked about (``None``: now)."""

    user: str
    item: str
    time: int | str | None = None


@dataclass(frozen=True)
class Score:
    """One pair.

    Attributes:
        user: the id as the dataset writes it; ``None`` of somebody new.
        probability: P(yes) by the run's LLM (Eq. 16).
        notes: what is to be known of it, in the words of ``predict``.
    """

    user: str | None
    item: str
    title: str
    probability: float
    notes: list[str]


@dataclass(frozen=True)
class Scores:
    """The pairs of a request, in its order."""

    run: str
    scores: list[Score]


@dataclass(frozen=True)
class AskedScores:
    """Questions that a request for scores comes to."""

    sources: Sources
    questions: Questions
    times: NDArray[np.int64]
    users: list[str | None]

    @classmethod
    def known(cls, model: ServedModel, pairs: Sequence[PairSaid]) -> AskedScores:
        """Pairs of the dataset's users.

        Raises:
            UsageError: an unknown user or item, with near ones; or a time where there are none.
            RecloraError: what is no time.
        """
        store = model.sources.store
        users = np.array([model.user(p.user, f"pairs[{n}].user") for n, p in enumerate(pairs)])
        items = np.array([model.item(p.item, f"pairs[{n}].item") for n, p in enumerate(pairs)])
        said = [people.seconds(p.time, f"pairs[{n}].time") for n, p in enumerate(pairs)]
        if any(time is not None for time in said) and not store.header.timed:
            raise UsageError(
                f"{store.header.dataset} has no times, so nothing can be asked at a time",
                where="pairs",
                hint="Leave the times out: each pair is then asked about now.",
            )
        times = np.array([NOW if time is None else time for time in said], dtype=np.int64)
        names: list[str | None] = [str(name) for name in store.users[schema.USER].iloc[users]]
        questions = Questions.of_pairs(store, users, items, times)
        return cls(model.sources, questions, times, names)

    @classmethod
    def new(cls, model: ServedModel, said: people.NewUserSaid, items: Sequence[str]) -> AskedScores:
        """Items for somebody new, each asked about now.

        Raises:
            UsageError, RecloraError: an unknown item, or what is no rating, time or profile.
        """
        asked = people.new(model, said)
        dense = np.array([model.item(item, f"items[{n}]") for n, item in enumerate(items)])
        times = np.full(len(dense), NOW, dtype=np.int64)
        store = asked.sources.store
        questions = Questions.of_pairs(store, np.zeros_like(dense), dense, times)
        return cls(asked.sources, questions, times, [None] * len(dense))

    @property
    def most(self) -> int:
        return len(self.questions)

    def prompts(self, model: ServedModel) -> Prompts:
        return model.opened.prompts(self.sources, self.questions)

    def result(self, model: ServedModel, answered: Answered) -> Scores:
        store = self.sources.store
        lines = store.items.iloc[self.questions.items]
        told = notes(store, self.questions, self.times)
        found = zip(
            self.users,
            lines[schema.ITEM],
            lines[schema.TITLE],
            answered.probability,
            told,
            strict=True,
        )
        scores = [
            Score(user, str(item), str(title), float(probability), said(int(note)))
            for user, item, title, probability, note in found
        ]
        return Scores(model.run.name, scores)


def said(note: int) -> list[str]:
    """The notes of a pair, one each."""
    return [words(flag) for flag in Note if note & flag]
