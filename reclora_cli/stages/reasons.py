"""What stands beside a recommendation as its reason: what the run read and mixed for the item.

Behaviours of the item's prompt that are most like it, and experts that weigh more than they do for
the average user. This inspects the model; it names no causes.

Shapes: n items, P projections, K experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.retrieval.past import RankedPast
from reclora_cli.scoring.questions import Positions
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.population import Population

BEHAVIOURS, EXPERTS = 2, 2
"""Named of each at most."""


@dataclass(frozen=True)
class LikeBehaviour:
    """A behaviour of the prompt.

    Attributes:
        similarity: cosine with the item in the index's vectors; ``None`` without an index.
    """

    title: str
    rating: float
    similarity: float | None


@dataclass(frozen=True)
class LeaningExpert:
    """An expert, its gate weight for the item (mean over projections), and by how much that is
    above the average user's."""

    expert: int
    weight: float
    above: float


@dataclass(frozen=True)
class Reason:
    """Of one item: the behaviours most like it first, the experts that lean most first."""

    behaviours: list[LikeBehaviour]
    experts: list[LeaningExpert]


def reasons(
    sources: Sources,
    items: Positions,
    read: Sequence[Positions],
    gate_weights: NDArray[np.float32] | None,
    average: Population | None,
) -> list[Reason]:
    """One for each of n questions.

    Args:
        items: (n,) that are asked about.
        read: behaviours of each prompt.
        gate_weights: (n, P, K) of the questions; ``None`` without a gate, as ``average``.
    """
    ranked = sources.likeness
    return [
        Reason(
            _most_alike(sources, ranked, int(item), behaviours),
            []
            if gate_weights is None or average is None
            else _leaning(gate_weights[at].mean(axis=0), average),
        )
        for at, (item, behaviours) in enumerate(zip(items, read, strict=True))
    ]


def _most_alike(
    sources: Sources, ranked: RankedPast | None, item: int, read: Positions
) -> list[LikeBehaviour]:
    """The most similar of the behaviours at ``read``; the latest where nothing tells."""
    store, latest_first = sources.store, read[::-1]
    if ranked is None:
        cosines: list[float | None] = [None] * len(latest_first)
    else:
        alike = ranked.vectors[store.item[latest_first]] @ ranked.vectors[item]
        order = np.argsort(-alike, kind="stable")
        latest_first, cosines = latest_first[order], [round(float(x), 4) for x in alike[order]]
    titles = store.items[schema.TITLE]
    return [
        LikeBehaviour(
            str(titles.iloc[int(store.item[position])]),
            float(store.header.rating_values[int(store.rating[position])]),
            cosine,
        )
        for position, cosine in zip(latest_first[:BEHAVIOURS], cosines, strict=False)
    ]


def _leaning(weights: NDArray[np.float32], average: Population) -> list[LeaningExpert]:
    above = weights - average.mean.mean(axis=0)
    best = [int(expert) for expert in np.argsort(-above, kind="stable")[:EXPERTS]]
    return [
        LeaningExpert(expert, round(float(weights[expert]), 4), round(float(above[expert]), 4))
        for expert in best
        if above[expert] > 0
    ]
