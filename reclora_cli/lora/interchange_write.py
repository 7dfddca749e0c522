"""Write an ordinary PEFT LoRA adapter: ``adapter_config.json``, ``adapter_model.safetensors``.

PEFT multiplies by ``lora_alpha / r``. The pairs hold their whole scale already, so ``lora_alpha``
is written equal to ``r``: the factor is exactly 1, whatever the rank, and a whole number, which
some runtimes ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import save as to_bytes

from reclora_cli.lora.interchange import LowRank
from reclora_cli.lora.projections import peft_targets

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"
BASE_IDENTITY = "reclora.base_model"
"""Key of the tensors' metadata that names the base model by content; PEFT passes over it."""


def tensor_name(projection: str, side: str) -> str:
    """Name of a matrix in PEFT's files; ``side`` is ``A`` or ``B``."""
    return f"base_model.model.{projection}.lora_{side}.weight"


def write_peft(
    folder: Path,
    pairs: Mapping[str, LowRank],
    *,
    targets: Sequence[str],
    base_model: str,
    base_identity: str,
) -> None:
    """Write ``pairs`` into ``folder``, which exists.

    Args:
        pairs: projection -> its update; all of one rank.
        targets: as ``find_projections`` took them for these projections.
        base_model: where PEFT finds the base model: a folder or a hub id.
        base_identity: of the base model, by content; kept for an import.
    """
    from peft import LoraConfig

    [rank] = {pair.rank for pair in pairs.values()}
    tensors = {
        tensor_name(name, side): matrix.contiguous()
        for name, pair in pairs.items()
        for side, matrix in (("A", pair.A), ("B", pair.B))
    }
    # One entry: safetensors writes several in an order that changes, and one mixture is one file.
    metadata = {BASE_IDENTITY: base_identity}
    (folder / TENSORS).write_bytes(to_bytes(tensors, metadata=metadata))
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        inference_mode=True,
        base_model_name_or_path=base_model,
    )
    # Set here: given to the constructor it becomes a set, whose order is another in every process.
    config.target_modules = sorted(peft_targets(list(pairs), targets))
    config.save_pretrained(folder)
