"""Logits of a few chosen tokens: the vocabulary projection narrowed to their rows.

P(yes) compares two logits (Eq. 16). The projection's other rows would be read and multiplied for
nothing, so for the time of a scoring the model is given a projection of the wanted rows alone, in
the place of its own. Everything else of its forward stays, soft-capping and logit scales among it:
both act on each logit by itself, so the logits that are left are the ones that were there.

The few rows are multiplied in fp32 whatever the model computes in: a bfloat16 logit of 20 is a
multiple of 1/8, too coarse to rank items by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@contextmanager
def only_tokens(model: nn.Module, tokens: Sequence[int]) -> Iterator[list[int]]:
    """Inside the block, ``model`` computes logits of ``tokens`` alone, where that is exact.

    Where the projection is no plain ``nn.Linear`` (it carries an adapter, is quantised, or lies in
    parts on several devices), the model is left as it is. Weights are read, never changed; the
    model's own projection is put back at the end. For scoring only: no gradient passes.

    Yields:
        the columns of the model's logits that belong to ``tokens``, in their order.
    """
    own: Any = model
    head = own.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if type(head) is not nn.Linear or type(head.weight) is not nn.Parameter:
        yield list(tokens)
        return
    own.set_output_embeddings(FewTokens(head, tokens))
    try:
        narrowed = own.get_output_embeddings() is not head
        yield list(range(len(tokens))) if narrowed else list(tokens)
    finally:
        own.set_output_embeddings(head)


class FewTokens(nn.Module):
    """Rows of a vocabulary projection, in fp32."""

    @torch.no_grad()
    def __init__(self, head: nn.Linear, tokens: Sequence[int]) -> None:
        super().__init__()
        rows = torch.tensor(list(tokens), device=head.weight.device)
        self.weight = nn.Parameter(head.weight[rows].float(), requires_grad=False)
        bias = None if head.bias is None else head.bias[rows].float()
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., tokens), in fp32."""
        return F.linear(x.float(), self.weight, self.bias)
