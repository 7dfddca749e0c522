"""Open a meta-LoRA adapter without its model: experts and gates alone, on the CPU.

A mixture needs no language model, whose weights are a thousand times larger. In its place stands
a tree of empty modules with the names and widths that the adapter's own configuration lists.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from reclora_cli.lora.adapter import load_adapter, read_config
from reclora_cli.lora.attach import MetaLora


class _Place(nn.Module):
    """Where a projection would stand: its widths and no weights."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.in_features = inputs
        self.out_features = outputs
        self.weight = nn.Parameter(torch.empty(0), requires_grad=False)


def open_alone(folder: Path) -> MetaLora:
    """The adapter of ``folder``, in evaluation mode, around no model.

    Raises:
        MissingInputError: no adapter there.
        RecloraError: a foreign or damaged file.
    """
    tree = nn.Module()
    for name, widths in read_config(folder).projections.items():
        _put(tree, name, _Place(*widths))
    return load_adapter(folder, tree).eval()


def _put(tree: nn.Module, name: str, place: nn.Module) -> None:
    """Hang ``place`` into ``tree`` under its dotted name."""
    *above, last = name.split(".")
    at = tree
    for part in above:
        if part not in dict(at.named_children()):
            at.add_module(part, nn.Module())
        at = at.get_submodule(part)
    at.add_module(last, place)
