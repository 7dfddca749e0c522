"""Proofs about a sequence store as it lies on disk: nothing in it tells what it must not."""

from __future__ import annotations

import numpy as np

from reclora_cli.data import schema
from reclora_cli.data.audit.report import AuditReport, Check, Finding
from reclora_cli.data.sequences.rows import PADDING, Past
from reclora_cli.data.sequences.store import WITH_CANDIDATES, SequenceStore


def audit(store: SequenceStore, past: Past | None = None) -> AuditReport:
    """Every check of the store.

    Args:
        past: what a row's user is known to have had; ``None``: the row's history.
    """
    checks = []
    for split in schema.SPLITS:
        checks += [_histories(store, split), _targets(store, split)]
    for split in WITH_CANDIDATES:
        checks += [_truth(store, split), _distinct(store, split), _fresh(store, split, past)]
    if store.header.by_time:
        checks.append(_in_order(store))
    return AuditReport(tuple(checks))


def _histories(store: SequenceStore, split: str) -> Check:
    found = Finding(f"histories of {split} rows are items, then padding", "row")
    rows = store.split(split)
    inside = np.arange(rows.history.shape[1]) < rows.length[:, None]
    known = (rows.history >= 0) & (rows.history < store.header.items)
    right = np.where(inside, known, rows.history == PADDING).all(axis=1)
    found.look(~(right & (rows.length > 0)))
    return found.check()


def _targets(store: SequenceStore, split: str) -> Check:
    found = Finding(f"targets of {split} rows are known items", "row")
    target = store.split(split).target
    found.look((target < 0) | (target >= store.header.items))
    return found.check()


def _truth(store: SequenceStore, split: str) -> Check:
    found = Finding(f"the target of each {split} row is among its candidates once", "row")
    hits = store.candidates(split) == store.split(split).target[:, None]
    found.look(hits.sum(axis=1) != 1)
    return found.check()


def _distinct(store: SequenceStore, split: str) -> Check:
    found = Finding(f"candidates of each {split} row are known items, each once", "row")
    ordered = np.sort(store.candidates(split), axis=1)
    outside = (ordered[:, 0] < 0) | (ordered[:, -1] >= store.header.items)
    found.look(outside | (ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    return found.check()


def _fresh(store: SequenceStore, split: str, past: Past | None) -> Check:
    """The target itself may have come before: people hear an artist twice."""
    found = Finding(f"no other candidate of a {split} row is in its user's known past", "row")
    rows, candidates = store.split(split), store.candidates(split)
    broken = np.zeros(len(rows), dtype=bool)
    for row, target in enumerate(rows.target.tolist()):
        had = past(split, row) if past else rows.history[row, : rows.length[row]]
        broken[row] = not (set(candidates[row].tolist()) - {target}).isdisjoint(had.tolist())
    found.look(broken)
    return found.check()


def _in_order(store: SequenceStore) -> Check:
    found = Finding(
        "no validation target comes before a training one, no test one before it", "row"
    )
    latest = store.split("train").time.max()
    for split in WITH_CANDIDATES:
        time = store.split(split).time
        found.look(time < latest)
        latest = max(latest, time.max())
    return found.check()
