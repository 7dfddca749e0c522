"""What a run reads and mixes for a user and an item.

This inspects the model; it names no causes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from reclora_cli.data import schema
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError
from reclora_cli.scoring.lm_scorer import Answered
from reclora_cli.scoring.questions import Positions, Questions
from reclora_cli.serving.model import ServedModel
from reclora_cli.stages import population
from reclora_cli.stages.asked_user import AskedUser
from reclora_cli.stages.explaining.explained_user import date_at, rating_at, title_at
from reclora_cli.stages.gate_view import GateView, gate_view
from reclora_cli.stages.opened_run import Prompts


@dataclass(frozen=True)
class ReadBehaviour:
    """A behaviour of the prompt."""

    item: str
    title: str
    date: str
    rating: float


@dataclass(frozen=True)
class Explained:
    """One question.

    Attributes:
        user: the id as the dataset writes it; ``None`` of somebody new.
        probability: P(yes) by the LLM; ``crm_probability`` by the CRM, ``None`` without one.
        behaviours: of the prompt, in time order; ``prompt`` its text.
        gate: ``None`` where the run has no gate.
    """

    run: str
    user: str | None
    profile: dict[str, str]
    seen_in_training: bool
    item: str
    title: str
    probability: float
    crm_probability: float | None
    behaviours: list[ReadBehaviour]
    prompt: str
    gate: GateView | None


@dataclass
class AskedExplanation:
    """A user and an item that are found."""

    asked: AskedUser
    question: Questions
    most: int = field(default=1, init=False)

    @classmethod
    def of_user(cls, model: ServedModel, asked: AskedUser, item: str | None) -> AskedExplanation:
        """``item`` as it stood before the user rated it, else now; ``None``: the latest row.

        Raises:
            UsageError: an unknown item, or none is named and the user has no row.
        """
        store = asked.sources.store
        if item is not None:
            dense = model.item(item, "item")
            if asked.name is None:
                return cls(asked, Questions.of_user(store, asked.user, np.array([dense])))
            return cls(asked, Questions.of_pair(store, asked.user, dense))
        rows = store.rows_of_user(asked.user)
        if not len(rows):
            raise UsageError("this user has no row to explain", where="item", hint="Name one.")
        return cls(asked, Questions.of_rows(store, rows[-1:]))

    def prompts(self, model: ServedModel) -> Prompts:
        return model.opened.prompts(self.asked.sources, self.question)

    def result(self, model: ServedModel, answered: Answered) -> Explained:
        asked, sources, question = self.asked, self.asked.sources, self.question
        store = sources.store
        line = store.items.iloc[int(question.items[0])]
        [read] = model.opened.read(sources, question)
        return Explained(
            run=model.run.name,
            user=asked.name,
            profile=asked.profile,
            seen_in_training=bool(store.seen_users[asked.user]),
            item=str(line[schema.ITEM]),
            title=str(line[schema.TITLE]),
            probability=float(answered.probability[0]),
            crm_probability=self._by_crm() if model.crm else None,
            behaviours=[_behaviour(store, int(at)) for at in read],
            prompt=sources.writer.text(question.users, question.items, read[None])[0],
            gate=self._gate(model, answered),
        )

    def _by_crm(self) -> float:
        sources, asked = self.asked.sources, self.question
        read = sources.crm_behaviours(asked)
        return float(sources.crm.score_pairs(asked.users, asked.items, read, asked.ends)[0])

    def _gate(self, model: ServedModel, answered: Answered) -> GateView | None:
        if answered.gate_weights is None or model.average is None:
            return None
        told = self.asked.sources.gate_input(self._rows())
        assert told is not None, "asked of a run with a gate"
        adapter = model.opened.adapter
        of_rows = population.gate_weights(adapter, told, model.opened.device)
        return gate_view(answered.gate_weights[0], of_rows, model.average, adapter.projections())

    def _rows(self) -> Questions:
        """The user's rows; of somebody new there is none."""
        store = self.asked.sources.store
        if self.asked.name is None:
            nothing: Positions = np.empty(0, dtype=np.int64)
            return Questions(nothing, nothing, nothing)
        return Questions.of_rows(store, store.rows_of_user(self.asked.user))


def _behaviour(store: InteractionsStore, position: int) -> ReadBehaviour:
    return ReadBehaviour(
        item=str(store.items[schema.ITEM].iloc[int(store.item[position])]),
        title=title_at(store, position),
        date=date_at(store, position),
        rating=rating_at(store, position),
    )
