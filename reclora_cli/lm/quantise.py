"""8-bit and 4-bit bases through bitsandbytes, behind one option.

8-bit is the weights of LLM.int8() (arXiv 2208.07339) without its rounding of activations, see
``lm.weight_only``; 4-bit is NF4 with double quantisation (QLoRA, arXiv 2305.14314). Only the linear
layers of the decoder are quantised.

What PEFT's ``prepare_model_for_kbit_training`` does, and how it is done here: all weights are
frozen (``lm.load``). Norms and the vocabulary projection keep the compute precision, for they are
frozen too: Transformers takes a norm's mean square in fp32 whatever its weight, losses are taken in
fp32 (``training.lm_work``), and scores from an fp32 projection (``lm.head``). fp32 norms would turn
all activations into fp32. Experts and gates are fp32. Embeddings need no hook that asks for
gradients: checkpointing is non-reentrant (``lm.recompute``).
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from typing import TYPE_CHECKING, Literal

from reclora_cli.errors import MissingInputError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import BitsAndBytesConfig

Quantisation = Literal["none", "8bit", "4bit"]

BITS = {"none": None, "8bit": 8, "4bit": 4}
"""Bits of a quantised weight; ``None`` where the compute precision is kept."""

_IDLE_LINES = {
    # A line for each 8-bit layer at each call.
    "bitsandbytes.autograd._functions": "inputs will be cast",
    # A kernel for packed 4-bit inference, which is not used here (see settle).
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",
}
"""Loggers of bitsandbytes, and how what they write needlessly is told."""


def config(
    quantisation: Quantisation, device: torch.device, dtype: torch.dtype
) -> BitsAndBytesConfig | None:
    """What ``from_pretrained`` needs to quantise; ``None`` for ``none``.

    Raises:
        MissingInputError: bitsandbytes is not installed, or its build does not run here.
        UsageError: the device has no bitsandbytes kernels.
    """
    if quantisation == "none":
        return None
    _require_bitsandbytes(quantisation)
    if device.type not in {"cpu", "cuda"}:
        raise UsageError(
            f"{quantisation} does not run on {device.type}",
            where="lm.quantisation",
            hint="Use --device cpu, or --set lm.quantisation=none.",
        )
    from transformers import BitsAndBytesConfig

    silence_idle_lines()
    if quantisation == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _require_bitsandbytes(quantisation: str) -> None:
    lack = None
    if importlib.util.find_spec("bitsandbytes") is None:
        lack = "which is not installed"
    else:
        try:
            importlib.import_module("bitsandbytes")
        except Exception as error:  # a build for other libraries or drivers may raise anything
            lack = f"whose build does not run here ({type(error).__name__}: {error})"
    if lack:
        raise MissingInputError(
            f"{quantisation} needs the package bitsandbytes, {lack}",
            where="lm.quantisation",
            hint="Run `pip install --upgrade bitsandbytes` where it has a build (Linux, Windows, "
            "macOS on arm64), or use --set lm.quantisation=none.",
        )


def settle(model: nn.Module) -> None:
    """Make quantised layers compute the same in training and in scoring; a no-op without them.

    8-bit layers round their weights only (see ``lm.weight_only``). 4-bit layers are kept
    from repacking themselves at their first pass without gradients: the repacked form lets no
    gradient through, so that a model scored once could not be tuned, and computes in bfloat16.
    """
    if getattr(model, "is_loaded_in_8bit", False):
        from reclora_cli.lm.weight_only import round_weights_only

        round_weights_only(model)
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def silence_idle_lines() -> None:
    """Drop what bitsandbytes logs needlessly; its other lines still pass."""
    for name in _IDLE_LINES:
        logger = logging.getLogger(name)
        if _is_worth_a_line not in logger.filters:
            logger.addFilter(_is_worth_a_line)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    return _IDLE_LINES[record.name] not in str(record.msg)
