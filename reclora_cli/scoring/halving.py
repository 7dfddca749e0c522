"""Passes over batches that may be too large for the memory: halved once, then a clear error."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reclora_cli.device import out_of_memory
from reclora_cli.errors import RecloraError
from reclora_cli.lm import sharding
from reclora_cli.progress import Progress

Indices = NDArray[np.int64]


class Halving:
    """Makes passes; after the first that does not fit the memory, each in two pieces.

    Args:
        batch_tokens: what the error proposes to lower.
    """

    def __init__(self, device: torch.device, batch_tokens: int, progress: Progress) -> None:
        self._device, self._batch_tokens, self._progress = device, batch_tokens, progress
        self._pieces = 1

    def each(
        self, chosen: Indices, compute: Callable[[Indices], Tensor]
    ) -> Iterator[tuple[Indices, Tensor]]:
        """``compute`` of the chosen sequences, in as many pieces as the memory has shown to need.

        Raises:
            RecloraError: out of memory, also with half of the sequences.
        """
        for piece in self._cut(chosen):
            yield from self._within_memory(piece, compute)

    def no_memory(self, sequences: int) -> RecloraError:
        """The error of a pass with so many sequences."""
        at_once = f"{sequences} prompts at once" if sequences > 1 else "one prompt"
        return RecloraError(
            f"out of memory with {at_once}",
            where="evaluate.batch_tokens",
            hint=f"Use --set evaluate.batch_tokens={max(1, self._batch_tokens // 4)}, "
            "a smaller LM, or --set lm.quantisation=8bit.",
        )

    def _cut(self, chosen: Indices) -> list[Indices]:
        pieces = np.array_split(chosen, min(self._pieces, len(chosen)))
        return [piece for piece in pieces if len(piece)]

    def _within_memory(
        self, chosen: Indices, compute: Callable[[Indices], Tensor]
    ) -> Iterator[tuple[Indices, Tensor]]:
        try:
            found = compute(chosen)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            # Sharded, processes compute in step with each other: none can halve its batches alone.
            if self._pieces > 1 or len(chosen) < 2 or sharding.wanted():
                raise self.no_memory(len(chosen)) from error
        else:
            yield chosen, found
            return
        # Left the block first: the error's traceback holds what the pass had allocated.
        self._pieces = 2
        self._progress.warn(
            f"out of memory with {len(chosen)} prompts at once: batches are halved from here on"
        )
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        for half in self._cut(chosen):
            yield from self._within_memory(half, compute)
