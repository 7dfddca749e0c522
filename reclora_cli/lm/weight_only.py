"""8-bit layers: weights in 8 bits, activations in the precision of computing.

bitsandbytes' LLM.int8() also rounds the activations, with outlier columns that depend on the whole
batch, so that a prompt's P(yes) depends on its neighbours: on real prompts and a CPU it moved by
0.03 to 0.05, in no particular direction, where 8-bit weights alone move all by nearly the same
0.013. They are also faster there. bitsandbytes has this path too, for layers in training mode
(``MatMul8bitFp``), but both of its paths hold each layer's input until the backward pass, which
frozen weights never ask for: a third of what tuning keeps, and gradient checkpointing cannot take
it away. So the product is our own; it gives the bits of ``MatMul8bitFp``. On a GPU it unpacks a
layer's weights for each product, little beside the product with some thousands of tokens (reasoned:
no GPU was at hand to measure it).
"""

from __future__ import annotations

from typing import Any, Self

import bitsandbytes as bnb
import torch
from torch import Tensor, nn


class WeightOnlyLinear8bit(bnb.nn.Linear8bitLt):  # type: ignore[misc]
    """A ``Linear8bitLt`` whose activations are never rounded."""

    @classmethod
    def of(cls, layer: bnb.nn.Linear8bitLt) -> Self:
        """The same layer, sharing its weights."""
        same = cls(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            has_fp16_weights=layer.state.has_fp16_weights,
            threshold=layer.state.threshold,
            index=layer.index,
            device="meta",
        )
        same.weight, same.bias, same.state = layer.weight, layer.bias, layer.state
        return same

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs), in the dtype of ``x``."""
        if self.weight.CB is not None:
            self.init_8bit_state()
            self.weight.data = self.state.CB
        bias = None if self.bias is None else self.bias.to(x.dtype)
        product: Tensor = _Product.apply(x, self.state.CB, self.state.SCB, bias)  # type: ignore[no-untyped-call]
        return product


class _Product(torch.autograd.Function):
    """``x W^T + b`` with W unpacked for the product alone, forward and backward; W is frozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None) -> Tensor:
        ctx.codes, ctx.scales = codes, scales
        return nn.functional.linear(x, _unpacked(codes, scales, x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        weight = _unpacked(ctx.codes, ctx.scales, gradient.dtype)
        return gradient @ weight, None, None, None


def _unpacked(codes: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    return codes.to(dtype).mul_(scales[:, None] * (1 / 127))


def round_weights_only(model: nn.Module) -> None:
    """Put ``WeightOnlyLinear8bit`` in the place of every 8-bit layer of ``model``."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, bnb.nn.Linear8bitLt):
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, WeightOnlyLinear8bit.of(layer))
