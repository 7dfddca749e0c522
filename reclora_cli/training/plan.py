"""What a fine-tuning will take: tokens, parameters, memory and time, before it starts.

Memory is the memory plan's (``memory``). Time is told twice: as floating-point work over the
matmul rate measured on this device just now, and, where the LM is at hand, from a few micro-batches
of real prompts that were really taken (``warm_up``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from reclora_cli.device import wait
from reclora_cli.lm.describe import LmDescription
from reclora_cli.training.micro_batch import MicroBatchPlan
from reclora_cli.training.warm_up import Rate

_EFFICIENCY = 0.45
"""Share of the pure matmul rate that a training step reaches; measured, see docs/results.md."""

_FORWARD, _BACKWARD = 2, 2
"""FLOPs per parameter and token. The backward pass of a frozen matrix is one product, not two."""


@dataclass(frozen=True)
class TuningPlan:
    """The plan of one fine-tuning.

    Attributes:
        tokens: prompt and answer tokens over all epochs, without padding.
        padding: padding's share of the tokens that are computed.
        longest: tokens of the longest prompt among those looked at, with its answer.
        memory_bytes: predicted peak of the process (of the GPU, on one).
        memory: the same by what holds it.
        free_bytes: what the plan may take; ``None`` where nothing tells.
        micro_batch_tokens: computed at once.
        gradient_checkpointing: whether activations are computed again in the backward pass.
        seconds: predicted; measured where that could be, else estimated.
        seconds_estimated: floating-point work over ``flops_per_second``.
        seconds_measured: from the warm-up; ``None`` where the LM is not at hand or does not fit.
        measured_prompts: prompts of the warm-up.
    """

    rows: int
    examples: int
    epochs: int
    steps: int
    tokens: int
    tokens_per_example: float
    padding: float
    longest: int
    trainable_parameters: int
    frozen_parameters: int
    memory_bytes: int
    memory: dict[str, int]
    free_bytes: int | None
    micro_batch_tokens: int
    gradient_checkpointing: bool
    seconds: float
    seconds_estimated: float
    seconds_measured: float | None
    measured_prompts: int
    flops_per_second: float


def predict(
    description: LmDescription,
    micro_batch: MicroBatchPlan,
    *,
    rows: int,
    examples: int,
    epochs: int,
    steps: int,
    tokens_per_example: float,
    longest: int,
    padding: float,
    trainable_parameters: int,
    device: torch.device,
    dtype: torch.dtype,
    rate: Rate | None,
) -> TuningPlan:
    """The plan for ``examples`` of ``tokens_per_example`` tokens each.

    Args:
        padding: padding's share of what is computed.
        rate: of a warm-up.
    """
    assert micro_batch.memory is not None
    tokens = round(examples * epochs * tokens_per_example)
    flops_per_second = matmul_rate(device, dtype)
    worked = description.quantisable + trainable_parameters
    again = _FORWARD if micro_batch.recompute else 0
    flops = tokens / (1 - padding) * worked * (_FORWARD + again + _BACKWARD)
    estimated = flops / (flops_per_second * _EFFICIENCY)
    measured = None
    if rate is not None:
        measured = tokens / (1 - padding) * rate.seconds_per_token + steps * rate.seconds_per_step
    return TuningPlan(
        rows=rows,
        examples=examples,
        epochs=epochs,
        steps=steps,
        tokens=tokens,
        tokens_per_example=round(tokens_per_example, 1),
        padding=round(padding, 4),
        longest=longest,
        trainable_parameters=trainable_parameters,
        frozen_parameters=description.parameters,
        memory_bytes=micro_batch.memory.total,
        memory=micro_batch.memory.terms(),
        free_bytes=micro_batch.budget,
        micro_batch_tokens=micro_batch.tokens,
        gradient_checkpointing=micro_batch.recompute,
        seconds=round(estimated if measured is None else measured, 1),
        seconds_estimated=round(estimated, 1),
        seconds_measured=None if measured is None else round(measured, 1),
        measured_prompts=0 if rate is None else rate.rows,
        flops_per_second=round(flops_per_second),
    )


def matmul_rate(
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    seconds: float = 0.3,
) -> float:
    """FLOP/s of square matrix products on ``device``, over a few tenths of a second."""
    # On a GPU, as large as what it is good at, and several before each wait.
    size, at_once = (1024, 1) if device.type == "cpu" else (8192, 4)
    a = torch.randn(size, size, device=device, dtype=dtype)
    a @ a
    wait(device)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(at_once):
            a @ a
        wait(device)
        done += at_once
    return done * 2 * size**3 / (time.perf_counter() - start)
