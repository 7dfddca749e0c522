"""8-bit layers on a CPU: weights in 8 bits, activations in full precision.

bitsandbytes' LLM.int8() also rounds the activations, with outlier columns that depend on the whole
batch. On a CPU that gains nothing, and a prompt's P(yes) then depends on its neighbours: on real
prompts it moved by 0.03 to 0.05, in no particular direction, where 8-bit weights alone move all by
nearly the same 0.013. They are also faster here. bitsandbytes has this path for layers in training
mode only, so these layers stay in it; they hold no dropout, and it means nothing else to them.
"""

from __future__ import annotations

from typing import Self

import bitsandbytes as bnb
from torch import nn


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

    def train(self, mode: bool = True) -> Self:
        """Stay in the mode that selects the path (see the module)."""
        return super().train(True)


def round_weights_only(model: nn.Module) -> None:
    """Put ``WeightOnlyLinear8bit`` in the place of every 8-bit layer of ``model``."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, bnb.nn.Linear8bitLt):
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, WeightOnlyLinear8bit.of(layer))
