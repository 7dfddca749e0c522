"""The behaviours that a question's prompt and its CRM read, with their likeness to the target."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reclora_cli.scoring.questions import Positions, Questions
from reclora_cli.stages import locate
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.explaining.explained_user import date_at, rating_at, title_at


@dataclass(frozen=True)
class Behaviour:
    """One behaviour, in time order.

    Attributes:
        similarity: cosine with the target in the index's vectors; ``None`` without an index.
        in_both: prompt and CRM read it.
    """

    title: str
    date: str
    rating: float
    similarity: float | None
    in_both: bool


@dataclass(frozen=True)
class Read:
    """Behaviours of one question.

    Attributes:
        prompt, crm: positions in the CSR in time order, without padding; ``crm`` is empty where
            no CRM is asked.
        similarity: position -> cosine with the target; empty without an index.
    """

    prompt: Positions
    crm: Positions
    similarity: dict[int, float]

    @classmethod
    def of(cls, sources: Sources, question: Questions) -> Read:
        """What the run's prompt and CRM read for one question."""
        recipe = sources.recipe
        prompt = sources.prompt_behaviours(question, recipe.prompt.behaviours)[0]
        crm = np.empty(0, dtype=np.int64)
        if locate.informed(recipe):
            crm = sources.crm_behaviours(question)[0]
        prompt, crm = prompt[prompt >= 0], crm[crm >= 0]
        return cls(prompt, crm, _alike(sources, int(question.items[0]), np.union1d(prompt, crm)))

    def held(self, positions: Positions) -> Read:
        """The same where of the prompt's behaviours those at ``positions`` alone are in it."""
        return replace(self, prompt=self.prompt[np.isin(self.prompt, positions)])

    def told(self, sources: Sources) -> tuple[list[Behaviour], list[Behaviour]]:
        """Those of the prompt, and those of the CRM."""
        both = set(np.intersect1d(self.prompt, self.crm).tolist())
        store = sources.store
        prompt, crm = (
            [
                Behaviour(
                    title_at(store, at),
                    date_at(store, at),
                    rating_at(store, at),
                    self.similarity.get(at),
                    at in both,
                )
                for at in positions.tolist()
            ]
            for positions in (self.prompt, self.crm)
        )
        return prompt, crm


def _alike(sources: Sources, item: int, positions: Positions) -> dict[int, float]:
    ranked = sources.likeness
    if ranked is None:
        return {}
    vectors = ranked.vectors
    cosines = vectors[sources.store.item[positions]] @ vectors[item]
    return {int(at): round(float(one), 4) for at, one in zip(positions, cosines, strict=True)}
