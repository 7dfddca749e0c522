"""R_c of a user without a target: what the gate reads under ``gate.input: user``.

A CTR model reads a target in every row, so it cannot simply be asked without one. It is asked about
the same few targets for everybody, and the mean is taken: the target is averaged out,

    R_u = 1/M sum_m R_c(user, target_m, the user's latest behaviours before the question)

The M targets stand for what rows ask about: items at even shares of the training rows, from the
most rated one to the least. They are the same whatever is asked, and so are the behaviours: the
latest ones, also for a CRM whose behaviours are retrieved for the target (SIM). So R_u depends on
the user and on the end of the user's past, and on no candidate.

Why not the alternatives: an "unknown item" exists for fields that few items share (ids, titles),
but not for genres, whose unknown embedding was never trained, nor for a model of texts. A target of
the user's own (the latest behaviour) lets one item decide, and the CRM never saw an item as target
and behaviour at once. The mean asks every CRM of the catalogue what it was trained to answer, with
one difference: what SIM reads is recent where it was trained on what is similar to the target.

Shapes: n questions, M targets, L behaviours, d width of R_c.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.store import InteractionsStore
from reclora_cli.progress import SILENT, Progress
from reclora_cli.scoring.crm_scorer import CrmScorer
from reclora_cli.scoring.questions import Positions, Questions

TARGETS = 16
_PASTS_AT_ONCE = 128


def reference_targets(store: InteractionsStore, count: int = TARGETS) -> Positions:
    """``count`` dense item ids: a systematic sample of the training rows' targets.

    Rows stand in order of how often their item is a training row's target, the most first (ties by
    item id); the middles of ``count`` equal parts are taken. An item with many rows may be taken
    more than once.

    Args:
        count: M.
    """
    rows = store.split("train")
    times = np.bincount(store.row_item(slice(rows.start, rows.stop)), minlength=store.header.items)
    order = np.argsort(-times, kind="stable")
    middles = (np.arange(count) + 0.5) / count * times.sum()
    return order[np.searchsorted(np.cumsum(times[order]), middles)].astype(np.int64)


class TargetFreeCrm:
    """A CRM asked about users alone.

    Attributes:
        identity: hash of the CRM's weights and of the targets.
    """

    def __init__(
        self, crm: CrmScorer, store: InteractionsStore, trained_on: InteractionsStore | None = None
    ) -> None:
        """``trained_on``: the store whose targets are taken, where ``store`` holds new users."""
        self._crm = crm
        self._store = store
        self._targets = reference_targets(trained_on or store)
        told = hashlib.sha256(self._targets.tobytes()).hexdigest()[:8]
        self.identity = f"{crm.identity}-without-target-{told}"

    def represent(
        self, rows: NDArray[np.integer], progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """R_u of each stored row's user just before the row, (n, d)."""
        return self.represent_questions(Questions.of_rows(self._store, np.asarray(rows)), progress)

    def represent_questions(
        self, questions: Questions, progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """R_u of each question, (n, d): of ``users`` and ``ends`` alone; ``items`` are not read.

        Questions with the same past get the same bits, and the CRM is asked once for all of them.
        """
        pasts = np.stack([questions.users, questions.ends], axis=1)
        known, at = np.unique(pasts, axis=0, return_inverse=True)
        found = np.empty((len(known), self._crm.representation_width), dtype=np.float32)
        with progress.task(f"{self._crm.name} reads users", total=len(known), unit="pasts") as task:
            for start in range(0, len(known), _PASTS_AT_ONCE):
                users, ends = known[start : start + _PASTS_AT_ONCE].T
                found[start : start + len(users)] = self._read(users, ends)
                task.advance(len(users))
        return found[at.reshape(-1)]

    def represent_behaviours(
        self, users: Positions, positions: Positions, ends: Positions
    ) -> NDArray[np.float32]:
        """R_u of users (n,) who are told of the behaviours at ``positions``, (n, L): (n, d)."""
        count = len(self._targets)
        found = self._crm.represent_pairs(
            np.repeat(users, count),
            np.tile(self._targets, len(users)),
            np.repeat(positions, count, axis=0),
            np.repeat(ends, count),
        )
        means = found.reshape(len(users), count, -1).mean(axis=1, dtype=np.float64)
        return means.astype(np.float32)

    def _read(self, users: Positions, ends: Positions) -> NDArray[np.float32]:
        asked = Questions(users, np.zeros_like(users), ends)
        return self.represent_behaviours(users, asked.recent(self._store, self._crm.history), ends)
