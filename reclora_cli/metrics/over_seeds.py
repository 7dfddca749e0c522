"""Mean and standard deviation over runs that differ in their seed alone."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TypeVar

from reclora_cli.metrics.compare import Figures

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class MeanSd:
    """Mean and sample standard deviation (n - 1); ``None`` where a run's figure is undefined."""

    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class Spread:
    """Figures of n runs over their seeds.

    Attributes:
        seeds: ascending, at least two.
        n: how many.
    """

    seeds: list[int]
    n: int
    auc: MeanSd
    log_loss: MeanSd
    accuracy: MeanSd
    user_auc: MeanSd
    ece: MeanSd


def over_seeds(runs: Iterable[tuple[Key, int, Figures]]) -> dict[Key, Spread]:
    """The spread of each key that has figures under several seeds, keys as they first come.

    Args:
        runs: what a run is but for its seed, its seed, and what it reaches. All figures of a key
            must be of the same rows; no seed comes twice under a key.
    """
    by_key: dict[Key, dict[int, Figures]] = {}
    for key, seed, figures in runs:
        of_key = by_key.setdefault(key, {})
        assert seed not in of_key, f"seed {seed} comes twice under {key}"
        of_key[seed] = figures
    return {key: _spread(of_key) for key, of_key in by_key.items() if len(of_key) > 1}


def mean_sd(values: Iterable[float | None]) -> MeanSd:
    """Of at least two values; both ``None`` when any of them is undefined."""
    found = [math.nan if value is None else value for value in values]
    if any(map(math.isnan, found)):
        return MeanSd(None, None)
    return MeanSd(fmean(found), stdev(found))


def _spread(by_seed: dict[int, Figures]) -> Spread:
    every = [by_seed[seed] for seed in sorted(by_seed)]
    assert len({figures.rows for figures in every}) == 1, "figures of different rows"
    return Spread(
        seeds=sorted(by_seed),
        n=len(every),
        auc=mean_sd(figures.auc.value for figures in every),
        log_loss=mean_sd(figures.log_loss.value for figures in every),
        accuracy=mean_sd(figures.accuracy.value for figures in every),
        user_auc=mean_sd(figures.user_auc.value for figures in every),
        ece=mean_sd(figures.ece.value for figures in every),
    )
