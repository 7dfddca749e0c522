"""Item texts to vectors: the mean of an LM's last hidden states over the text's tokens.

Shapes: n texts, B texts of a batch, T tokens, d width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reclora_cli.encoding.tokens import TokenTable
from reclora_cli.lm.load import LoadedLm
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.buckets import micro_batches

_MAX_TOKENS = {"cpu": 512, "cuda": 16384, "mps": 4096}
"""Padded tokens in one forward pass. On a CPU small batches stay in its caches: of a 135M model,
512 tokens a pass were encoded 1.4 times faster than 4,096."""

Ids = NDArray[np.int32]


def encode_items(
    lm: LoadedLm,
    texts: Sequence[str],
    progress: Progress = SILENT,
    max_tokens: int | None = None,
) -> NDArray[np.float32]:
    """(n, d) float32 vectors of ``texts``, in their order.

    Texts longer than the LM's context are cut at their end.

    Args:
        lm: a causal LM, or an encoder (``lm.load.load_encoder``).
        texts: the items' texts.
        progress: told when they are done.
        max_tokens: padded tokens in one forward pass; by default what suits the device.
    """
    table = TokenTable.of(lm, texts)
    with progress.task("encode items", total=len(table), unit="items") as task:
        vectors = encode_tokens(lm, [table[at] for at in range(len(table))], max_tokens)
        task.advance(len(table))
    return vectors


def encode_tokens(
    lm: LoadedLm, rows: Sequence[Ids], max_tokens: int | None = None
) -> NDArray[np.float32]:
    """(n, d) float32 vectors of n texts given as token ids, in their order.

    They are batched by length. A causal LM needs no mask for padding on the right, and what all
    texts start with is computed once: a token sees only what stands before it.
    """
    if max_tokens is None:
        max_tokens = _MAX_TOKENS[lm.device.type]
    shared = _shared_start(rows) if lm.causal else 0
    vectors = np.empty((len(rows), lm.width), dtype=np.float32)
    lengths = np.array([len(row) for row in rows])
    with torch.inference_mode():
        start = _Start(lm, rows[0][:shared]) if shared else None
        for chosen in micro_batches(lengths - shared, max_tokens):
            batch = [rows[at] for at in chosen]
            sums = _masked_sums(lm, batch) if start is None else start.sums(batch)
            vectors[chosen] = (sums / torch.from_numpy(lengths[chosen, None])).numpy()
    return vectors


class _Start:
    """The tokens that all texts begin with, run once; their keys and values serve every batch."""

    def __init__(self, lm: LoadedLm, ids: Ids) -> None:
        self._lm = lm
        self._length = len(ids)
        inputs = torch.from_numpy(ids.astype(np.int64))[None].to(lm.device)
        begun = lm.model.base_model(input_ids=inputs, use_cache=True)
        self._cache = begun.past_key_values
        self._sum = begun.last_hidden_state.float().sum(1).cpu()

    def sums(self, batch: list[Ids]) -> Tensor:
        """(B, d) sums of the hidden states of whole texts that begin so."""
        ids, mask = _padded([row[self._length :] for row in batch], self._lm)
        cache = copy.deepcopy(self._cache)  # a forward pass appends to it
        cache.batch_repeat_interleave(len(batch))
        done = self._lm.model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
        return self._sum + _sums(done.last_hidden_state, mask)


def _masked_sums(lm: LoadedLm, batch: list[Ids]) -> Tensor:
    ids, mask = _padded(batch, lm)
    seen = {} if lm.causal else {"attention_mask": mask}
    return _sums(lm.model.base_model(input_ids=ids, **seen).last_hidden_state, mask)


def _sums(hidden_BTd: Tensor, mask_BT: Tensor) -> Tensor:
    return torch.einsum("btd,bt->bd", hidden_BTd.float(), mask_BT.float()).cpu()


def _padded(batch: list[Ids], lm: LoadedLm) -> tuple[Tensor, Tensor]:
    """Ids and mask, (B, T) each, padded on the right."""
    width = max(len(row) for row in batch)
    ids = np.full((len(batch), width), lm.pad_id, dtype=np.int64)
    mask = np.zeros((len(batch), width), dtype=np.int64)
    for at, row in enumerate(batch):
        ids[at, : len(row)] = row
        mask[at, : len(row)] = 1
    return torch.from_numpy(ids).to(lm.device), torch.from_numpy(mask).to(lm.device)


def _shared_start(rows: Sequence[Ids]) -> int:
    """How many tokens all texts begin with; at least one token is left to each."""
    if len(rows) < 2:
        return 0
    shortest = min(len(row) for row in rows) - 1
    same = np.ones(max(shortest, 0), dtype=bool)
    for row in rows[1:]:
        same &= row[: len(same)] == rows[0][: len(same)]
    return int(np.argmin(same)) if not same.all() else len(same)
