"""What one pass of a micro-batch holds in memory, traced on a model without weights.

Traced, not modelled: PyTorch takes the very steps of training or scoring on the meta device
(``lm.skeleton``), and ``live_bytes`` watches. So it holds for any architecture, adapter and mixing.

Shapes: B rows, T tokens, A positions with logits, V vocabulary.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reclora_cli.lm.forward import forward_parameters
from reclora_cli.lm.recompute import recomputed
from reclora_cli.lora.adapters import Adapter, MetaAdapter
from reclora_cli.lora.meta_lora import Experts
from reclora_cli.training.live_bytes import OTHER, Kept, LiveBytes

META = torch.device("meta")


@dataclass(frozen=True)
class Passed:
    """Bytes that one pass holds.

    Attributes:
        kept: what lives between the forward and the backward pass; 0 in scoring.
        peak: the most at one time, kept or for one operation only.
    """

    kept: int
    peak: int


def training_pass(
    model: nn.Module, adapter: Adapter, rows: int, tokens: int, positions: int, *, recompute: bool
) -> Passed:
    """Trace the forward and the backward pass of ``rows`` prompts of ``tokens`` tokens.

    Args:
        model: a skeleton that carries ``adapter``.
        positions: logits are computed at so many positions of each row.
        recompute: with gradient checkpointing.
    """
    inputs = _inputs(rows, tokens, positions)
    live = LiveBytes([*_own(model, adapter), *inputs])
    for parameter in _trained(adapter):
        parameter.grad = torch.empty_like(parameter)  # Counted with the optimizer.
        live.expect(parameter.grad)
    with recomputed(model, recompute), live, _mixed(adapter, rows):
        loss = _loss(model, inputs, positions)
        kept = live.live
        loss.backward()  # type: ignore[no-untyped-call]
    return Passed(kept, live.peak)


def scoring_pass(
    model: nn.Module, adapter: Adapter, rows: int, tokens: int, positions: int
) -> Passed:
    """Trace the forward pass of scoring; see ``training_pass``."""
    inputs = _inputs(rows, tokens, positions)
    live = LiveBytes([*_own(model, adapter), *inputs])
    with torch.no_grad(), live, _mixed(adapter, rows):
        _logits(model, inputs[0], positions)
    return Passed(0, live.peak)


def kept_by_part(
    model: nn.Module, adapter: Adapter, rows: int, tokens: int, positions: int
) -> dict[str, int]:
    """Bytes that autograd keeps, by part: ``attention``, ``experts``, ``answers``, ``blocks``."""
    inputs = _inputs(rows, tokens, positions)
    kept = Kept([*_own(model, adapter), *inputs])
    with kept.watching(_parts(model)), _mixed(adapter, rows):
        _loss(model, inputs, positions)
    found = {part: kept.by_part.get(part, 0) for part in ("attention", "experts", "blocks")}
    return {**found, "answers": kept.by_part.get("answers", 0) + kept.by_part.get(OTHER, 0)}


def _parts(model: nn.Module) -> dict[nn.Module, str]:
    """Modules by the part whose memory is told apart: the rest of the decoder is ``blocks``."""
    found: dict[nn.Module, str] = {model: "answers"}  # What is not the decoder's: the head.
    lm: Any = model
    base: Any = lm.get_base_model() if hasattr(lm, "get_base_model") else lm
    found[base.base_model] = "blocks"
    for name, module in base.named_modules():
        if type(module).__name__.endswith("Attention"):
            found[module] = "attention"
        elif isinstance(module, Experts) or name.rpartition(".")[2] in {"lora_A", "lora_B"}:
            found[module] = "experts"
    return found


def _own(model: nn.Module, adapter: Adapter) -> list[Tensor]:
    return [*model.parameters(), *model.buffers(), *adapter.tensors().values()]


def _trained(adapter: Adapter) -> list[nn.Parameter]:
    return [*adapter.expert_parameters(), *adapter.gate_parameters()]


def _inputs(rows: int, tokens: int, positions: int) -> tuple[Tensor, Tensor]:
    ids_BT = torch.zeros(rows, tokens, dtype=torch.int64, device=META)
    return ids_BT, torch.zeros(rows * positions, dtype=torch.int64, device=META)


def _logits(model: nn.Module, ids_BT: Tensor, positions: int) -> Tensor:
    if "logits_to_keep" in forward_parameters(model):
        found: Tensor = model(input_ids=ids_BT, logits_to_keep=positions, use_cache=False).logits
        return found
    every: Tensor = model(input_ids=ids_BT, use_cache=False).logits
    return every[:, -positions:]


def _loss(model: nn.Module, inputs: tuple[Tensor, Tensor], positions: int) -> Tensor:
    logits_BAV = _logits(model, inputs[0], positions)
    return nn.functional.cross_entropy(logits_BAV.float().flatten(0, 1), inputs[1])


def _mixed(adapter: Adapter, rows: int) -> AbstractContextManager[None]:
    """Bind a mixture as the gate makes it; the gate itself is left out: it keeps little."""
    inner = adapter.low_rank
    if not isinstance(inner, MetaAdapter) or inner.meta.settings.experts == 1:
        return nullcontext()
    experts = inner.meta.settings.experts
    of_one = (experts, experts) if inner.meta.settings.mixing == "full" else (experts,)
    shape = (len(inner.meta.projections), rows, *of_one)
    return inner.meta.bound(torch.zeros(shape, device=META, requires_grad=True))
