"""Keep 4-bit layers differentiable on CPUs with AVX512-BF16.

There, in eval mode, bitsandbytes' ``Linear4bit`` repacks its weight at the first input that needs
no gradient, for a kernel without a derivative (``packing_format_for_cpu``, bitsandbytes 0.50).
From then on no gradient passes the layer, with a warning at most: training goes on and learns
nothing. A model that carries an adapter therefore keeps the packing that has a derivative.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from reclora_cli.errors import RecloraError

_REPACKS = "support_avx512bf16_for_cpu"


def stop_repacking(model: nn.Module) -> list[nn.Module]:
    """Make every layer of ``model`` that would repack itself stay as it is.

    Returns:
        The layers changed, for ``allow_repacking``.

    Raises:
        RecloraError: a layer is repacked already, so no gradient would pass it.
    """
    for name, layer in model.named_modules():
        if _is_repacked(layer):
            raise RecloraError(
                "this 4-bit layer was repacked for a CPU kernel without a derivative",
                where=name,
                hint="Attach before the model's first run, or load the model anew.",
            )
    layers = [layer for layer in model.modules() if getattr(layer, _REPACKS, False)]
    for layer in layers:
        setattr(layer, _REPACKS, False)
    return layers


def allow_repacking(layers: Iterable[nn.Module]) -> None:
    """Undo ``stop_repacking`` for ``layers``."""
    for layer in layers:
        setattr(layer, _REPACKS, True)


def _is_repacked(layer: nn.Module) -> bool:
    state = getattr(getattr(layer, "weight", None), "quant_state", None)
    return bool(getattr(state, "packing_format_for_cpu", False))
