"""How much memory a training step keeps between its forward and its backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def saved_bytes(loss: Callable[[], Tensor], parameters: Iterable[Tensor]) -> int:
    """Bytes that one forward pass leaves behind for its backward pass, parameters not counted.

    Measured, not modelled, so it holds for any model. A storage that is saved twice counts once.
    """
    known = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        graph = loss()  # What it saved lives as long as it does, so no address is used twice.
    total = sum(found.values())
    del graph
    return total
