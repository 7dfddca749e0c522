"""Shots are training rows, and the beginning of their seed's one sample."""

from __future__ import annotations

import numpy as np

from reclora_cli.data.audit.report import Check, Finding
from reclora_cli.data.shots import sample_shots
from reclora_cli.data.store import InteractionsStore, Ints

TRAINING = "every shot is a training row"
TWICE = "no shot is taken twice"
SAMPLE = "shots are the beginning of their seed's sample, so smaller budgets are nested in larger"


def shots_are_train(store: InteractionsStore, shots: Ints) -> list[Check]:
    """Where shots lie, whatever their order."""
    train = store.split("train")
    training, twice = Finding(TRAINING, "shot"), Finding(TWICE, "shot")
    training.look((shots < train.start) | (shots >= train.stop))
    first = np.zeros(len(shots), dtype=bool)
    first[np.unique(shots, return_index=True)[1]] = True
    twice.look(~first)
    return [training.check(), twice.check()]


def shots_are_the_sample(store: InteractionsStore, shots: Ints, budget: int, seed: int) -> Check:
    """Each of ``budget`` shots against its place in the sample, drawn here again."""
    if len(shots) != budget:
        return Check(SAMPLE, False, len(shots), f"{len(shots):,} shots, and {budget:,} were asked")
    found = Finding(SAMPLE, "shot")
    found.look(shots != sample_shots(store, budget, seed))
    return found.check()
