"""What a fine-tuning will take: tokens, parameters, memory and time, before it starts.

Memory is runtime + weights + optimizer + the activations of one micro-batch. Time is
floating-point work over the matmul rate measured on this device just now.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from reclora_cli.device import compute_dtype
from reclora_cli.lm.describe import LmDescription

_EFFICIENCY = 0.45
"""Share of the pure matmul rate that a training step reaches; measured, see docs/results.md."""

_FORWARD, _BACKWARD = 2, 2
"""FLOPs per parameter and token. The backward pass of a frozen matrix is one product, not two."""

_HIDDEN_KEPT, _FEED_FORWARD_KEPT = 12, 3
"""Saved activations per token and layer, in widths of the hidden and the feed-forward state: two
norms, queries, keys, values and the attention's output; gate, up and their product."""

_RUNTIME_BYTES = 600_000_000
"""What Python, torch and transformers hold before any weight is loaded."""

_ADAMW_COPIES = 4
"""Weights, gradients and two moments, all fp32."""


@dataclass(frozen=True)
class TuningPlan:
    """The plan of one fine-tuning.

    Attributes:
        tokens: prompt and answer tokens over all epochs.
        memory_bytes: predicted peak of the process: runtime, weights, optimizer, activations.
        seconds: predicted, at ``flops_per_second``.
    """

    rows: int
    examples: int
    epochs: int
    steps: int
    tokens: int
    tokens_per_example: float
    trainable_parameters: int
    frozen_parameters: int
    memory_bytes: int
    seconds: float
    flops_per_second: float


def predict(
    description: LmDescription,
    *,
    rows: int,
    examples: int,
    epochs: int,
    steps: int,
    tokens_per_example: float,
    trainable_parameters: int,
    micro_batch_tokens: int,
    quantisation: str,
    device: torch.device,
) -> TuningPlan:
    """The plan for ``examples`` of ``tokens_per_example`` tokens each.

    Args:
        quantisation: of the frozen weights: ``none``, ``8bit`` or ``4bit``.
    """
    tokens = round(examples * epochs * tokens_per_example)
    rate = matmul_rate(device)
    dtype = compute_dtype(device)
    worked = description.quantisable + trainable_parameters
    flops = tokens * worked * (_FORWARD + _BACKWARD)
    per_token = description.layers * (
        _HIDDEN_KEPT * description.width + _FEED_FORWARD_KEPT * description.feed_forward
    )
    activations = dtype.itemsize * per_token * max(micro_batch_tokens, round(tokens_per_example))
    memory = (
        description.weight_bytes(quantisation, dtype) + trainable_parameters * 4 * _ADAMW_COPIES
    )
    return TuningPlan(
        rows=rows,
        examples=examples,
        epochs=epochs,
        steps=steps,
        tokens=tokens,
        tokens_per_example=round(tokens_per_example, 1),
        trainable_parameters=trainable_parameters,
        frozen_parameters=description.parameters,
        memory_bytes=round(_RUNTIME_BYTES + memory + activations),
        seconds=round(flops / (rate * _EFFICIENCY), 1),
        flops_per_second=round(rate),
    )


def matmul_rate(device: torch.device, size: int = 1024, seconds: float = 0.3) -> float:
    """FLOP/s of square matrix products on ``device``, over a few tenths of a second."""
    a = torch.randn(size, size, device=device)
    a @ a
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        done += 1
    return done * 2 * size**3 / (time.perf_counter() - start)
