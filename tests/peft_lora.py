"""Adapters as stock PEFT writes and reads them, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor


def write_peft_lora(
    model: Any, folder: Path, *, rank: int = 2, seed: int = 0, base: str = "", **settings: Any
) -> Path:
    """A LoRA with random A and B around ``model``, saved by PEFT itself; ``model`` stays bare."""
    chosen: dict[str, Any] = {"lora_alpha": 5, "target_modules": ["q_proj", "v_proj"]}
    config = LoraConfig(r=rank, task_type="CAUSAL_LM", **(chosen | settings))
    wrapped = get_peft_model(model, config)
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in wrapped.named_parameters():
            if "lora_" in name:
                tensor.copy_(torch.randn(tensor.shape, generator=stream) * 0.3)
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    wrapped.unload()
    edit_config(folder, base_model_name_or_path=base)
    return folder


def edit_config(folder: Path, **changes: Any) -> None:
    """Write other values into ``adapter_config.json``."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def stock(model: Any, folder: Path) -> Any:
    """``model`` with the adapter of ``folder``, opened by stock PEFT, in evaluation mode."""
    return PeftModel.from_pretrained(model, str(folder)).eval()


def logits(model: Any, ids: Tensor) -> Tensor:
    """(B, T, V) without gradients."""
    with torch.no_grad():
        found: Tensor = model(ids).logits
    return found


def far(one: Tensor, other: Tensor) -> float:
    """The largest difference."""
    return float((one - other).abs().max())
