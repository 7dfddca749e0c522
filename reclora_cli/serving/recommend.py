"""The best of what a user has not seen, as ``reclora recommend`` gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reclora_cli.errors import UsageError
from reclora_cli.scoring.lm_scorer import Answered
from reclora_cli.serving.limits import CANDIDATES
from reclora_cli.serving.model import ServedModel
from reclora_cli.stages.asked_user import AskedUser
from reclora_cli.stages.candidates import By, Candidates, Pool, best, pool
from reclora_cli.stages.opened_run import Prompts
from reclora_cli.stages.recommend import Recommendation, ordered


@dataclass(frozen=True)
class Wish:
    """What to recommend; fields as the options of ``reclora recommend``.

    Attributes:
        items: ids or titles: only these; ``None``: of all.
    """

    top: int = 10
    candidates: int = 64
    by: By | None = None
    genres: Sequence[str] = ()
    items: Sequence[str] | None = None


@dataclass(frozen=True)
class Recommended:
    """What a run recommends; fields as of ``stages.recommend.RecommendResult``."""

    run: str
    user: str | None
    profile: dict[str, str]
    history: int
    seen_in_training: bool
    by: By
    crm: str | None
    pool: int
    left_out: int
    candidates: int
    recommendations: list[Recommendation]


@dataclass
class AskedRecommendation:
    """A wish whose names are found. Candidates are chosen by the thread that owns the models."""

    asked: AskedUser
    of: Pool
    by: By
    wish: Wish
    _found: Candidates | None = field(default=None, init=False)

    @classmethod
    def of_user(cls, model: ServedModel, asked: AskedUser, wish: Wish) -> AskedRecommendation:
        """What ``asked`` may be recommended.

        Raises:
            UsageError: an unknown genre or item, or nothing is left, or nothing is liked that
                candidates could be like.
            MissingInputError: what is to choose candidates is not there.
        """
        by = model.chooser(wish.by)
        named = None
        if wish.items is not None:
            named = np.array([model.item(one, f"items[{n}]") for n, one in enumerate(wish.items)])
        of = pool(asked, wish.genres, named, where=("genres", "items"))
        if by == "similar" and not asked.sources.store.label[asked.past].any():
            raise UsageError("none of the user's behaviours is a like", where="by")
        return cls(asked, of, by, wish)

    @property
    def most(self) -> int:
        wanted = min(max(self.wish.candidates, self.wish.top), CANDIDATES)
        return min(wanted, len(self.of.items))

    def prompts(self, model: ServedModel) -> Prompts:
        with_crm = model.crm is not None
        self._found = best(self.asked, self.of, self.by, self.most, with_crm=with_crm)
        return model.opened.prompts(self.asked.sources, self.asked.ask(self._found.items))

    def result(self, model: ServedModel, answered: Answered) -> Recommended:
        assert self._found is not None
        asked, store = self.asked, self.asked.sources.store
        return Recommended(
            run=model.run.name,
            user=asked.name,
            profile=asked.profile,
            history=asked.past.stop - asked.past.start,
            seen_in_training=bool(store.seen_users[asked.user]),
            by=self.by,
            crm=model.crm,
            pool=len(self.of.items),
            left_out=self.of.seen if self.wish.items is not None else 0,
            candidates=len(self._found.items),
            recommendations=ordered(
                model.opened, asked, self._found, answered, self.wish.top, model.average
            ),
        )
