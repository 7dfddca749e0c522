"""What is trained, as the loop takes it: the same for a CRM and for an adapter in an LM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch

from reclora_cli.processes import ALONE, Processes
from reclora_cli.training.schedule import Linear, Schedule

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a peak learning rate and a weight decay."""

    parameters: list[torch.nn.Parameter]
    learning_rate: float
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Work(Generic[Batch]):
    """What is trained.

    Attributes:
        groups: parameters with their learning rates.
        tensors: every live tensor that a checkpoint must hold, by name (parameters, buffers).
        steps: optimizer steps in all.
        micro_batches: step (0-based) -> ``(batch, weight)`` pairs, whose weights sum to 1 over all
            processes: this one's share, perhaps none. A pure function of the step.
        loss: mean loss of one micro-batch, a scalar with a graph.
        rows_per_step: rows of one step over all processes, for progress.
        during: context held over a micro-batch's forward and backward pass (bound gate weights).
        together: the processes that share each step.
        relieve: called with the step and the allocator's words when the memory ended in a pass:
            makes micro-batches smaller, or raises. ``None``: they cannot be.
        fused: update by PyTorch's fused AdamW.
    """

    groups: list[ParameterGroup]
    tensors: Mapping[str, torch.Tensor]
    steps: int
    micro_batches: Callable[[int], Iterable[tuple[Batch, float]]]
    loss: Callable[[Batch], torch.Tensor]
    rows_per_step: int
    seed: int
    schedule: Schedule = field(default_factory=Linear)
    clip_norm: float | None = None
    title: str = "train"
    during: Callable[[Batch], AbstractContextManager[Any]] = lambda batch: nullcontext()
    together: Processes = ALONE
    relieve: Callable[[int, str], None] | None = None
    fused: bool = False

    def parameters(self) -> list[torch.nn.Parameter]:
        """All that is trained, group by group."""
        return [parameter for group in self.groups for parameter in group.parameters]
