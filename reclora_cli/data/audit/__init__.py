"""Proof that what was written cannot leak the future.

Every check reads the stored arrays themselves: it does not trust the code that wrote them. A
check that does not hold names how many places break it and the first of them. Arrays are read
in chunks, so an audit of 25 million behaviours holds a few of them in memory.

    shapes     lengths, ids and positions: what all else reads by
    order      behaviours, rows and splits in order; rows are all that follows the warm-up
    pasts      histories end before their row
    reads      unseen values are read as unknown
    ranked     ranked behaviours lie in their row's history, and are its most similar
    reduction  the PCA is fitted on items seen in training
    shots      training rows, in the order of their seed's sample
    ties       behaviours of one second, and what excluding them costs (a report, not a check)

Score files are checked in ``scoring.score_checks``, beside the code that writes them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reclora_cli.data.audit.order import (
    behaviours_in_order,
    labels_follow_ratings,
    rows_are_what_follows_the_warm_up,
    rows_in_order,
)
from reclora_cli.data.audit.pasts import histories_are_the_past
from reclora_cli.data.audit.ranked import ranked_are_past, ranked_are_the_best
from reclora_cli.data.audit.reads import unseen_values_are_unknown
from reclora_cli.data.audit.reduction import StoredReduction, reduction_is_fitted_on
from reclora_cli.data.audit.report import AuditReport, Check
from reclora_cli.data.audit.shapes import values_within_bounds
from reclora_cli.data.audit.shots import shots_are_the_sample, shots_are_train
from reclora_cli.data.audit.ties import Ties, ties
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.store import InteractionsStore, Ints

__all__ = [
    "AuditReport",
    "Check",
    "StoredReduction",
    "Ties",
    "audit",
    "audit_store",
    "ranked_are_past",
    "ranked_are_the_best",
    "reduction_is_fitted_on",
    "shots_are_the_sample",
    "shots_are_train",
    "ties",
    "unseen_values_are_unknown",
]


def audit(
    store: InteractionsStore,
    ranked: Path | Ints | None = None,
    features: FeatureSpace | None = None,
    shots: Ints | None = None,
) -> AuditReport:
    """Check a written store, and what was made from it.

    Args:
        store: opened from its folder.
        ranked: ranked behaviours of all rows, (n_rows, k) positions, or their ``.npy`` file.
        features: the feature space that models read rows through.
        shots: row ids the LM is tuned on.
    """
    checks = audit_store(store)
    if checks[0].held:
        if ranked is not None:
            opened = np.load(ranked, mmap_mode="r") if isinstance(ranked, Path) else ranked
            checks += ranked_are_past(store, opened)
        if features is not None:
            checks.append(unseen_values_are_unknown(store, features))
        if shots is not None:
            checks += shots_are_train(store, shots)
    return AuditReport(tuple(checks))


def audit_store(store: InteractionsStore) -> list[Check]:
    """The store by itself. When its first check fails nothing else can be looked at."""
    bounds = values_within_bounds(store)
    if not bounds.held:
        return [bounds]
    return [
        bounds,
        *behaviours_in_order(store),
        *rows_in_order(store),
        labels_follow_ratings(store),
        *rows_are_what_follows_the_warm_up(store),
        *histories_are_the_past(store),
    ]
