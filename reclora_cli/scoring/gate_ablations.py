"""What a gate reads in place of R_c, to find out whether the CRM's knowledge is what helps.

``shuffled``: R_c of a row that has nothing to do with the question, so its values are those that
the CRM gives and what they tell is wrong. ``random``: noise of the same width. Both are drawn by
(seed, user, item, end of the past) alone: a question is told the same whenever it is asked.

Shapes: n questions, d width of R_c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.store import InteractionsStore
from reclora_cli.progress import SILENT, Progress
from reclora_cli.scoring.crm_scorer import CrmScorer
from reclora_cli.scoring.questions import Questions
from reclora_cli.seeding import numpy_stream


class _Drawn:
    """What is drawn for a question, in place of R_c."""

    identity: str

    def __init__(self, crm: CrmScorer, store: InteractionsStore, seed: int) -> None:
        self._crm = crm
        self._store = store
        self._seed = seed

    def represent(
        self, rows: NDArray[np.integer], progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """What the gate is told of stored rows, (n, d)."""
        return self.represent_questions(Questions.of_rows(self._store, np.asarray(rows)), progress)

    def represent_questions(
        self, questions: Questions, progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """What the gate is told of each question, (n, d)."""
        raise NotImplementedError

    def _draw(self, questions: Questions, draw: Callable[[np.random.Generator], Any]) -> list[Any]:
        asked = zip(questions.users, questions.items, questions.ends, strict=True)
        return [
            draw(numpy_stream(self._seed, "gate ablation", int(user), int(item), int(end)))
            for user, item, end in asked
        ]


class OtherRows(_Drawn):
    """R_c of training rows drawn at random, one for each question, with replacement.

    Attributes:
        identity: hash of the CRM's weights, and the seed.
    """

    def __init__(self, crm: CrmScorer, store: InteractionsStore, seed: int) -> None:
        super().__init__(crm, store, seed)
        self.identity = f"{crm.identity}-shuffled-{seed}"

    def represent_questions(
        self, questions: Questions, progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """R_c of another row for each question, (n, d)."""
        train = self._store.split("train")
        rows = self._draw(questions, lambda draw: draw.integers(train.start, train.stop))
        return self._crm.represent(np.array(rows, dtype=np.int64), progress)


class Noise(_Drawn):
    """A standard normal vector for each question.

    Attributes:
        identity: the width, and the seed.
    """

    def __init__(self, crm: CrmScorer, store: InteractionsStore, seed: int) -> None:
        super().__init__(crm, store, seed)
        self.identity = f"noise-{crm.representation_width}-{seed}"

    def represent_questions(
        self, questions: Questions, progress: Progress = SILENT
    ) -> NDArray[np.float32]:
        """Noise for each question, (n, d)."""
        width = self._crm.representation_width
        drawn = self._draw(questions, lambda draw: draw.standard_normal(width))
        return np.array(drawn, dtype=np.float32).reshape(len(questions), width)
