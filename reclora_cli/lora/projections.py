"""A model's linear layers, and which of them an adapter changes: chosen by their names' ends.

``q_proj`` and ``self_attn.q_proj`` name a projection in every block, ``layers.1?.self_attn.q_proj``
in blocks 10 to 19: ``*``, ``?`` and ``[...]`` stand for what they do in file names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from reclora_cli.errors import UsageError, did_you_mean
from reclora_cli.lora.meta_lora import MetaLoraLinear


@dataclass(frozen=True)
class Projection:
    """A linear layer of a model: its module name, the layer, its input and output widths."""

    name: str
    layer: nn.Module
    inputs: int
    outputs: int


def find_projections(model: nn.Module, targets: Sequence[str]) -> list[Projection]:
    """The linear layers that ``targets`` name, in the model's order.

    Raises:
        UsageError: a target that names none, with the names there are; or ``model`` carries
            meta-LoRA already.
    """
    require_bare(model)
    linears = list(linear_layers(model))
    for target in targets or ("",):
        if not any(_ends_in(projection.name, target) for projection in linears):
            known = sorted({projection.name.rpartition(".")[2] for projection in linears})
            raise UsageError(
                f"no linear layer is named {target!r}",
                where="targets",
                hint=f"{did_you_mean(target, known)} Linear layers here: {', '.join(known)}.",
            )
    return [
        projection
        for projection in linears
        if any(_ends_in(projection.name, target) for target in targets)
    ]


def peft_targets(names: Sequence[str], targets: Sequence[str]) -> list[str]:
    """``targets`` as PEFT takes them, of a model in which they name the projections ``names``.

    PEFT matches the ends of names as we do, but knows no ``*``: it is told whole names then.
    """
    if any(sign in target for target in targets for sign in "*?["):
        return list(names)
    return list(targets)


def require_bare(model: nn.Module) -> None:
    """Refuse a model that carries meta-LoRA already.

    Raises:
        UsageError: it does.
    """
    if any(isinstance(layer, MetaLoraLinear) for layer in model.modules()):
        raise UsageError(
            "the model carries meta-LoRA already", where="attach", hint="Call detach() first."
        )


def linear_layers(model: nn.Module) -> Iterator[Projection]:
    """Every linear layer of ``model`` with its widths, in the model's order."""
    for name, layer in model.named_modules():
        for inputs, outputs in (("in_features", "out_features"), ("nx", "nf")):
            widths = getattr(layer, inputs, None), getattr(layer, outputs, None)
            if isinstance(widths[0], int) and isinstance(widths[1], int):
                yield Projection(name, layer, widths[0], widths[1])


def _ends_in(name: str, target: str) -> bool:
    return fnmatchcase(name, target) or fnmatchcase(name, f"*.{target}")
