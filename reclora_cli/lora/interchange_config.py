"""What a PEFT ``adapter_config.json`` says, and whether plain LoRA is all that it asks for.

The file comes from elsewhere: it is a small JSON object of plain values, nothing in it is opened,
run or matched as a pattern (``target_modules`` may be a regular expression: the tensors' own names
tell which projections are adapted). A key that changes what the adapter computes is refused by
name unless it is off; so is a key that this PEFT does not know, unless it is off.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.lora.interchange_write import CONFIG

_MOST_BYTES = 1 << 20
"""A real one has one or two kilobytes; long lists of modules make tens."""

_READ = {
    *("peft_type", "task_type", "r", "lora_alpha", "use_rslora", "init_lora_weights", "bias"),
    "base_model_name_or_path",
}

_WITHOUT_EFFECT = {
    # Where it comes from.
    *("auto_mapping", "revision", "peft_version", "inference_mode"),
    # Which projections, told by the tensors; and how the base model stores its weights.
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"),
    *("fan_in_fan_out", "megatron_core"),
    # Training and its start; the recipe has its own.
    *("lora_dropout", "loftq_config", "eva_config", "corda_config", "lora_ga_config"),
    *("qalora_group_size", "runtime_config"),
}

_KEEPS_BASE = (True, False, "gaussian", "eva", "orthogonal")
"""Values of ``init_lora_weights`` that leave the frozen weights as they are; pissa, olora, corda,
loftq and lora_ga train beside changed ones."""

_OFF: tuple[Any, ...] = (None, False, "", [], {})
_NAMED = 10
_MOST_RANK, _MOST_ALPHA = 1 << 16, 1e9
"""Above these stands no LoRA, but numbers that overflow."""


@dataclass(frozen=True)
class PeftSettings:
    """The part of the file that plain LoRA needs.

    Attributes:
        rank: r.
        scale: the factor before ``B A``: alpha / r, or alpha / sqrt(r) under rsLoRA.
        base_model: ``base_model_name_or_path``; empty when it is not told.
    """

    rank: int
    scale: float
    base_model: str


def read_settings(folder: Path) -> PeftSettings:
    """The settings of the PEFT adapter in ``folder``.

    Raises:
        MissingInputError: no such folder or file.
        RecloraError: not a plain LoRA of PEFT; every reason is listed.
    """
    file = folder / CONFIG
    content = _object(file)
    if "peft_type" not in content:
        own = content.get("kind") == "reclora-meta-lora"
        raise RecloraError(
            "this is reclora's own adapter, not PEFT's" if own else "this is not a PEFT adapter",
            where=str(file),
            hint="Make one of it: `reclora export --run RUN --user ID --average`." if own else None,
        )
    wrong = _unfit(content)
    if wrong:
        raise RecloraError(
            "only plain LoRA can be a start; this adapter has " + "; ".join(wrong),
            where=str(file),
            hint="Merge it into the base model, or train a plain LoRA.",
        )
    rank, alpha = int(content["r"]), float(content["lora_alpha"])
    root = math.sqrt(rank) if content.get("use_rslora") else rank
    return PeftSettings(rank, alpha / root, str(content.get("base_model_name_or_path") or ""))


def _object(file: Path) -> dict[str, Any]:
    if not file.parent.is_dir():
        raise MissingInputError(
            "no such folder",
            where=str(file.parent),
            hint="Name the folder of a PEFT adapter on this machine; download it first.",
        )
    if not file.is_file():
        raise MissingInputError(f"no {CONFIG} here", where=str(file.parent))
    with file.open("rb") as opened:
        content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise RecloraError("too large to be an adapter's configuration", where=str(file))
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise RecloraError("not JSON", where=str(file)) from None
    if not isinstance(found, dict):
        raise RecloraError("this is not a PEFT adapter", where=str(file))
    return found


def _unfit(content: Mapping[str, Any]) -> list[str]:
    """What plain LoRA has not, each as ``key=value``."""
    base = content.get("base_model_name_or_path")
    fits = {
        "peft_type": content["peft_type"] == "LORA",
        "task_type": content.get("task_type") in (None, "CAUSAL_LM"),
        "r": _is_number(content.get("r"), int, most=_MOST_RANK),
        "lora_alpha": _is_number(content.get("lora_alpha"), int | float, most=_MOST_ALPHA),
        "use_rslora": content.get("use_rslora") in (None, True, False),
        "bias": content.get("bias") in (None, "none"),
        "init_lora_weights": content.get("init_lora_weights", True) in _KEEPS_BASE,
        "base_model_name_or_path": base is None or (isinstance(base, str) and base.isprintable()),
    }
    wrong = [key for key, fit in fits.items() if not fit]
    wrong += [
        key
        for key, value in sorted(content.items())
        if key not in _READ | _WITHOUT_EFFECT and value not in _OFF
    ]
    more = [f"{len(wrong) - _NAMED} more"] if len(wrong) > _NAMED else []
    return [f"{_short(key)[1:-1]}={_short(content.get(key))}" for key in wrong[:_NAMED]] + more


def _is_number(value: Any, kind: Any, most: float) -> bool:
    """Above 0 and up to ``most``; NaN is neither."""
    return isinstance(value, kind) and not isinstance(value, bool) and bool(0 < value <= most)


def _short(value: Any) -> str:
    """As JSON, in which nothing is left that a terminal would obey."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
