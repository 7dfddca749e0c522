"""The last block's feed-forward part, computed only where an answer is read.

Nothing reads the last block's output at the other positions: the projection to the vocabulary takes
the answer positions alone, and no block follows. A feed-forward part works on each position by
itself, so leaving the others out changes nothing that is read, and no gradient: that of an output
which nothing reads is 0. It saves three quarters of a block, forward and backward.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def only_at(model: nn.Module, at_BA: Tensor) -> Iterator[None]:
    """Inside the block, one forward pass of ``model`` is right at positions ``at_BA`` alone.

    Nothing changes where the architecture is not understood, where the backward pass will compute
    the block again, by when this has ended, or where the model is compiled, as it is.

    Args:
        at_BA: (B, A) positions of each sample's own tokens.
    """
    block = _last_block(model)
    own = getattr(block, "mlp", None)
    again = torch.is_grad_enabled() and getattr(block, "gradient_checkpointing", False)
    compiled = getattr(model, "_compiled_call_impl", None) is not None
    if not isinstance(own, nn.Module) or again or compiled:
        yield
        return
    block.mlp = _OnlyAt(own, at_BA)  # type: ignore[union-attr]
    try:
        yield
    finally:
        block.mlp = own  # type: ignore[union-attr]


class _OnlyAt(nn.Module):
    """A feed-forward part in its place; zeros stand where nothing is read."""

    def __init__(self, inner: nn.Module, at_BA: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self._at_BA = at_BA
        self._rows_B1 = torch.arange(len(at_BA), device=at_BA.device)[:, None]

    def forward(self, x_BTD: Tensor) -> Any:
        found_BAD = self.inner(x_BTD[self._rows_B1, self._at_BA])
        if not isinstance(found_BAD, Tensor):  # some mixtures of experts return more
            return self.inner(x_BTD)
        whole_BTD = found_BAD.new_zeros(x_BTD.shape)
        whole_BTD[self._rows_B1, self._at_BA] = found_BAD
        return whole_BTD


def _last_block(model: nn.Module) -> nn.Module | None:
    """The block that runs last, where the decoder's blocks are in one list as everywhere."""
    lm: Any = model
    decoder = lm.get_decoder() if hasattr(lm, "get_decoder") else None
    if not isinstance(decoder, nn.Module):
        return None
    lists = [child for child in decoder.children() if isinstance(child, nn.ModuleList)]
    return lists[0][-1] if len(lists) == 1 and len(lists[0]) else None
