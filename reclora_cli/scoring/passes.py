"""The forward passes that answer n prompts: in buckets, after shared prefixes, within the memory.

Shapes: n prompts, B of one pass, V logits, P projections, K experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli.device import out_of_memory
from reclora_cli.lm.forward import answer_logits
from reclora_cli.lora.adapters import Adapter
from reclora_cli.progress import Progress
from reclora_cli.prompt.buckets import micro_batches
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.halving import Halving, Indices
from reclora_cli.scoring.prefix import SharedPrompts

if TYPE_CHECKING:
    from reclora_cli.lm.prefix import ComputedPrefix

_HELD = 8
"""Tokens of a batch, those of a shared prefix counted for each prompt, in ``batch_tokens``."""

Logits = tuple[Indices, torch.Tensor]
"""Prompts, and their logits (B, V) at the first answer position."""


class Passes:
    """How an LM with its adapter is asked; see ``lm_scorer.answer`` for the arguments.

    Attributes:
        computed_tokens: of the passes made so far, padding among them.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        adapter: Adapter,
        encoded: EncodedPrompts,
        representation: NDArray[np.float32] | None,
        device: torch.device,
        batch_tokens: int,
        progress: Progress,
    ) -> None:
        self._model, self._adapter, self._encoded = model, adapter, encoded
        self._representation, self._device = representation, device
        self._batch_tokens = batch_tokens
        self._halving = Halving(device, batch_tokens, progress)
        self.computed_tokens = 0

    def gate_weights(self) -> NDArray[np.float32] | None:
        """(n, P, K) of every prompt; ``None`` without a gate."""
        with torch.inference_mode():
            weights_PNK = self._adapter.gate_weights(
                self._represented(np.arange(len(self._encoded)))
            )
            if weights_PNK is None:
                return None
            return weights_PNK.transpose(0, 1).float().cpu().numpy()

    def all(self, groups: Sequence[SharedPrompts]) -> Iterator[Logits]:
        """Every prompt once: first those of ``groups``, after what each group shares."""
        for group in groups:
            yield from self._batches(group.chosen, self._compute(group))
        alone = np.ones(len(self._encoded), dtype=bool)
        for group in groups:
            alone[group.chosen] = False
        yield from self._batches(np.flatnonzero(alone), None)

    def once_more(self) -> None:
        """A pass whose result nobody reads: all processes make equally many in a sharded LM."""
        shortest = np.array([self._encoded.lengths.argmin()], dtype=np.int64)
        self._logits(shortest, None)

    def _compute(self, group: SharedPrompts) -> ComputedPrefix:
        from reclora_cli.lm.prefix import compute

        first = group.chosen[:1]
        ids = torch.from_numpy(self._encoded[int(first[0])][: group.length].astype(np.int64))
        self.computed_tokens += group.length
        try:
            with self._adapter.personalised(self._represented(first)):
                return compute(self._model, ids.to(self._device))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise self._halving.no_memory(1) from error

    def _batches(self, asked: Indices, prefix: ComputedPrefix | None) -> Iterator[Logits]:
        start = prefix.length if prefix else 0
        for part in micro_batches(self._encoded.lengths[asked] - start, self._batch_tokens):
            # Each prompt's layers copy the prefix: a batch may hold so many tokens with it.
            with_it = int(self._encoded.lengths[asked[part]].max()) * len(part)
            pieces = -(-with_it // (_HELD * self._batch_tokens))
            for held in np.array_split(asked[part], min(pieces, len(part))):
                yield from self._halving.each(held, lambda part: self._logits(part, prefix))

    def _logits(self, chosen: Indices, prefix: ComputedPrefix | None) -> torch.Tensor:
        start = prefix.length if prefix else 0
        ids_BT = self._encoded.padded(chosen)[:, start:]
        last_B1 = (self._encoded.lengths[chosen, None] - start - 1).astype(np.int64)
        ids, at = (torch.tensor(each, device=self._device) for each in (ids_BT, last_B1))
        self.computed_tokens += ids_BT.size
        with self._adapter.personalised(self._represented(chosen)):
            if prefix is None:
                return answer_logits(self._model, ids, at)[:, 0]
            from reclora_cli.lm.prefix import answer_logits_after

            return answer_logits_after(self._model, prefix, ids, at)[:, 0]

    def _represented(self, chosen: Indices) -> torch.Tensor | None:
        """(B, d) R_c of the chosen prompts, on the device."""
        if self._representation is None:
            return None
        # Copied, as in training: where an array lies can decide the last bits of a product with it.
        return torch.tensor(self._representation[chosen], device=self._device)
