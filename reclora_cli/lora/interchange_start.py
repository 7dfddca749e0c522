"""Start an adapter from a PEFT LoRA: before the first step the model scores as with that LoRA.

Every expert starts as the given adapter. Weights over the experts sum to 1, so any mixture of
equal experts is that expert: ``sum_k a_k A B^T = A B^T`` (product), and ``(sum_k a_k)^2 A B^T``
is the same (weights). A core of its own (full) is 1 in sum before training. The gate therefore
decides nothing at first, as it does where B starts at 0; experts part because their weights
differ, and because the rank that the given adapter leaves free keeps its own random A beside a B
of 0.

Shapes: K experts, R their rank, D inputs, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reclora_cli.errors import RecloraError
from reclora_cli.lora.adapters import Adapter, MetaAdapter
from reclora_cli.lora.interchange_read import PeftLora

_NAMED = 8
_PEFT, _SIDE_A, _SIDE_B = "base_model.model.", ".lora_A.default.weight", ".lora_B.default.weight"


@dataclass(frozen=True)
class _Room:
    """Where one projection's start goes: views of the adapter's own parameters.

    Attributes:
        A: (K, R, D); K is 1 for a plain LoRA.
        B: (K, O, R).
    """

    A: Tensor
    B: Tensor


def start_from(adapter: Adapter, start: PeftLora, scale: float) -> list[str]:
    """Fill the untrained ``adapter`` with ``start``.

    Args:
        adapter: ``lora`` or ``meta``, inside its model.
        start: of a rank up to the adapter's, for projections that it adapts.
        scale: the factor that the adapter itself puts before its update.

    Returns:
        Projections of ``adapter`` that ``start`` has not; they start at 0 as usual.

    Raises:
        RecloraError: see ``require_fit``; nothing is changed then.
    """
    rooms = _rooms(adapter)
    require_fit(adapter, start)
    with torch.no_grad():
        for name, pair in start.pairs().items():
            room = rooms[name]
            room.A[:, : pair.rank] = pair.A.to(room.A)
            room.B[:, :, : pair.rank] = (pair.B / scale).to(room.B)
    return [name for name in rooms if name not in start.widths]


def require_fit(adapter: Adapter, start: PeftLora) -> None:
    """Refuse a start that ``adapter``, which may be on the meta device, has no room for.

    Raises:
        RecloraError: rank, projections or widths do not fit; all that differs is listed.
    """
    wrong = _misfits(_rooms(adapter), start)
    if wrong:
        more = f"\n  and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise RecloraError(
            "this adapter does not fit the recipe and its LM:\n  "
            + "\n  ".join(wrong[:_NAMED])
            + more,
            where=str(start.folder),
            hint="Set adapter.rank and adapter.targets to the adapter's, and lm.name to its base.",
        )


def _rooms(adapter: Adapter) -> dict[str, _Room]:
    tensors = adapter.tensors()
    if isinstance(adapter, MetaAdapter):
        return {
            name: _Room(tensors[f"{name}.A"], tensors[f"{name}.B"].mT)
            for name in adapter.projections()
        }
    names = [name.removesuffix(_SIDE_A) for name in tensors if name.endswith(_SIDE_A)]
    return {
        name.removeprefix(_PEFT): _Room(
            tensors[name + _SIDE_A][None], tensors[name + _SIDE_B][None]
        )
        for name in names
    }


def _misfits(rooms: dict[str, _Room], start: PeftLora) -> list[str]:
    wrong = []
    rank = min(room.A.shape[1] for room in rooms.values())
    if start.settings.rank > rank:
        wrong.append(f"rank {start.settings.rank} in the adapter, adapter.rank {rank}")
    for name, (inputs, outputs) in start.widths.items():
        if name not in rooms:
            wrong.append(f"{name} is adapted there, and is no projection of adapter.targets here")
            continue
        here = rooms[name].A.shape[2], rooms[name].B.shape[1]
        if here != (inputs, outputs):
            wrong.append(f"{name} is {inputs} -> {outputs} there, {here[0]} -> {here[1]} here")
    return wrong
