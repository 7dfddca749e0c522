"""Rows of the task ``next`` through a sequence encoder: z for a gate, scores of candidates.

Shapes: n rows, C candidates, D width of z.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reclora_cli.crm.sequence.base import SequenceEncoder
from reclora_cli.data.sequences.rows import Ints, SequenceRows

_ROWS_AT_ONCE = 4096


class SequenceScorer:
    """Reads an encoder without dropout; leaves it as it was.

    Args:
        model: on ``device``; it may be under training.
    """

    def __init__(self, model: SequenceEncoder, device: torch.device) -> None:
        self.model, self._device = model, device

    def encode(self, rows: SequenceRows) -> NDArray[np.float32]:
        """z of each row, (n, D)."""
        found = self._over(len(rows), lambda part: self.model.encode(self._ids(rows.history[part])))
        return np.concatenate([np.zeros((0, self.model.representation_width), np.float32), *found])

    def score(self, rows: SequenceRows, candidates: Ints) -> NDArray[np.float32]:
        """Score of each candidate, (n, C).

        Args:
            candidates: (n, C) item ids.
        """

        def of(part: slice) -> Tensor:
            return self.model.score(self._ids(rows.history[part]), self._ids(candidates[part]))

        empty = np.zeros((0, candidates.shape[1]), np.float32)
        return np.concatenate([empty, *self._over(len(rows), of)])

    def _ids(self, values: Ints) -> Tensor:
        return torch.from_numpy(np.asarray(values).astype(np.int64)).to(self._device)

    def _over(self, n: int, of: Callable[[slice], Tensor]) -> Iterator[NDArray[np.float32]]:
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                for first in range(0, n, _ROWS_AT_ONCE):
                    yield of(slice(first, min(first + _ROWS_AT_ONCE, n))).float().cpu().numpy()
        finally:
            self.model.train(training)
