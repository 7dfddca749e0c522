"""What the CRM and the gate say where something that the CRM reads is another.

Shapes: n variants, L behaviours, d width of R_c, P projections, K experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data import histories
from reclora_cli.data.other_profiles import OtherProfiles
from reclora_cli.scoring.crm_scorer import CrmScorer
from reclora_cli.scoring.questions import Positions, Questions
from reclora_cli.scoring.target_free import TargetFreeCrm
from reclora_cli.stages import locate
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.crm_texts import texts_of_other_users


@dataclass(frozen=True)
class Past:
    """Behaviours that the CRM is told of.

    Attributes:
        for_target: positions in time order that it reads for its answer.
        for_gate: those behind R_c; the same but where the gate reads the user alone, whose latest
            ones they are.
        end: exclusive end in the CSR of what may be read: behaviours' ages are counted from it.
    """

    for_target: Positions
    for_gate: Positions
    end: int

    def without(self, position: int) -> Past:
        """The same past without one behaviour. None takes its place."""
        target, gate = (each[each != position] for each in (self.for_target, self.for_gate))
        return Past(target, gate, self.end)


@dataclass(frozen=True)
class Variant:
    """What the CRM is told: which of the profiles, and which past."""

    profile: int
    past: Past


@dataclass(frozen=True)
class CrmSaid:
    """What comes of n variants.

    Attributes:
        probability: (n,) the CRM's P(like).
        representation: (n, d) what the gate reads.
    """

    probability: NDArray[np.float64]
    representation: NDArray[np.float32]


class CrmWhatIf:
    """The run's CRM asked about one user and item under other profiles and other pasts.

    Variants that read the same are asked once: they get the same bits.
    """

    def __init__(
        self, sources: Sources, question: Questions, profiles: Sequence[Mapping[str, str]]
    ) -> None:
        """``profiles``: what is changed in each; the first changes nothing."""
        assert not profiles[0], "the first profile is the user's own"
        self._sources, self._question = sources, question
        self.store = OtherProfiles(sources.store, int(question.users[0]), profiles)

    @property
    def gate_input(self) -> str:
        return self._sources.recipe.gate.input

    def past(self, question: Questions) -> Past:
        """What the CRM reads for one question of any user."""
        for_target = self._sources.crm_behaviours(question)[0]
        for_gate = for_target
        if self.gate_input == "user":
            for_gate = question.recent(self._sources.store, self._crm.history)[0]
        return Past(for_target[for_target >= 0], for_gate[for_gate >= 0], int(question.ends[0]))

    def ask(self, variants: Sequence[Variant]) -> CrmSaid:
        """P(like) and what the gate reads, of each variant."""
        keys = [self._key(variant) for variant in variants]
        known = list(dict.fromkeys(keys))
        first = [variants[keys.index(key)] for key in known]
        at = np.array([known.index(key) for key in keys])
        return CrmSaid(self._probability(first)[at], self._representation(first)[at])

    def _key(self, variant: Variant) -> tuple[object, ...]:
        """What the models read of it, as values that compare."""
        slots = self._space_slots[variant.profile].tobytes()
        texts = ""
        if locate.recipe_parts("pretrain-crm", self._sources.recipe).get("texts"):
            texts = str(self.store.users.iloc[variant.profile].to_dict())
        past = variant.past
        return slots, texts, past.for_target.tobytes(), past.for_gate.tobytes(), past.end

    @cached_property
    def _space_slots(self) -> NDArray[np.int64]:
        from reclora_cli.data.features import FeatureSpace

        space = FeatureSpace(self.store, trained_on=self._sources.store)
        return space.users_fields(np.arange(self.store.header.users))

    @cached_property
    def _crm(self) -> CrmScorer:
        sources = self._sources
        texts = texts_of_other_users(
            sources.recipe, sources.crm_texts, self.store, sources.device, sources.progress
        )
        return sources.crm.of_other_users(self.store, texts)

    def _probability(self, variants: Sequence[Variant]) -> NDArray[np.float64]:
        pasts = [variant.past.for_target for variant in variants]
        return self._crm.score_pairs(*self._asked(variants, pasts))

    def _representation(self, variants: Sequence[Variant]) -> NDArray[np.float32]:
        """As ``Sources.gate_input``; what a gate of an ablation reads, none of this changes."""
        if self.gate_input in {"shuffled", "random"}:
            told = self._sources.gate_input(self._question)
            assert told is not None
            return np.repeat(told, len(variants), axis=0)
        users, items, positions, ends = self._asked(
            variants, [variant.past.for_gate for variant in variants]
        )
        if self.gate_input == "user":
            known = self._sources.store
            crm = TargetFreeCrm(self._crm, self.store, trained_on=known)
            return crm.represent_behaviours(users, positions, ends)
        return self._crm.represent_pairs(users, items, positions, ends)

    def _asked(
        self, variants: Sequence[Variant], pasts: Sequence[Positions]
    ) -> tuple[Positions, Positions, Positions, Positions]:
        positions = np.full((len(pasts), self._crm.history), histories.NO_POSITION, np.int64)
        for line, past in zip(positions, pasts, strict=True):
            line[: len(past)] = past
        return (
            np.array([variant.profile for variant in variants], dtype=np.int64),
            np.repeat(self._question.items, len(variants)),
            positions,
            np.array([variant.past.end for variant in variants], dtype=np.int64),
        )
