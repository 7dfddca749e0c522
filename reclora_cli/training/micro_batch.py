"""How many tokens are computed at once: chosen within the memory there is, halved when it ends.

The effective batch stays as the recipe says; a micro-batch is a part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from reclora_cli import processes
from reclora_cli.device import free_memory, held_memory
from reclora_cli.errors import RecloraError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.training.memory import RUNTIME, Memory

_ENOUGH = {"cpu": 1280, "mps": 4096, "cuda": 16384}
"""Tokens after which a larger micro-batch is no faster on a device of this kind."""

_HINT = (
    "Use --set finetune.micro_batch_tokens={fewer}, --set finetune.gradient_checkpointing=on, "
    "--set lm.quantisation=8bit, or a smaller --set prompt.history."
)

Checkpointing = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class MicroBatchPlan:
    """What is computed at once.

    Attributes:
        tokens: padded tokens of a micro-batch, at most; a longer prompt is one of its own.
        recompute: whether gradient checkpointing is on.
        memory: at the peak; ``None`` where no plan could be made.
        budget: bytes that tuning may take; ``None`` where nothing tells.
    """

    tokens: int
    recompute: bool
    memory: Memory | None
    budget: int | None

    @property
    def fits(self) -> bool:
        return self.budget is None or self.memory is None or self.memory.total <= self.budget


def budget_of(device: torch.device, share: float) -> int:
    """``share`` of what this process could hold in all: what it holds now, and what is free.

    Processes that share a machine's memory share what is free of it. On CUDA the context, which a
    plan counts, is there already and in neither figure.
    """
    free = free_memory(device)
    if device.type == "cuda":
        return round(share * (free + held_memory(device) + RUNTIME["cuda"]))
    return round(share * (free / processes.on_this_machine() + held_memory(device)))


def choose(
    memory_of: Callable[[int, bool], Memory],
    longest: int,
    batch_size: int,
    *,
    wanted: int | Literal["auto"],
    checkpointing: Checkpointing,
    budget: int | None,
    kind: str,
) -> MicroBatchPlan:
    """The micro-batch of a tuning.

    Gradient checkpointing costs a third forward pass' time, so ``auto`` turns it on only when one
    prompt would not fit otherwise.

    Args:
        memory_of: (rows, recompute) -> the peak with so many of the longest prompts.
        longest: tokens of the longest prompt with its answer.
        batch_size: rows of a step; a micro-batch never has more.
        wanted: tokens, or ``auto``: as many as fit and are of use.
        budget: bytes there are; ``None`` for no limit.
        kind: of device.
    """

    def fits(rows: int, recompute: bool) -> bool:
        return budget is None or memory_of(rows, recompute).total <= budget

    if wanted != "auto":
        rows = min(batch_size, max(1, wanted // longest))
        recompute = checkpointing == "on" or (checkpointing == "auto" and not fits(1, False))
        return MicroBatchPlan(wanted, recompute, memory_of(rows, recompute), budget)
    recompute = checkpointing == "on" or (checkpointing == "auto" and not fits(1, False))
    most = min(batch_size, max(1, _ENOUGH[kind] // longest))
    rows = next((n for n in range(most, 1, -1) if fits(n, recompute)), 1)
    tokens = max(longest, _ENOUGH[kind]) if rows == most < batch_size else rows * longest
    return MicroBatchPlan(tokens, recompute, memory_of(rows, recompute), budget)


def unplanned(wanted: int | Literal["auto"], kind: str, *, recompute: bool) -> MicroBatchPlan:
    """The micro-batch where no memory plan can be made, on a device of ``kind``."""
    return MicroBatchPlan(_ENOUGH[kind] if wanted == "auto" else wanted, recompute, None, None)


class MicroBatchTokens:
    """The size in force, which an end of memory halves once.

    It lies in a tensor, so that checkpoints hold it: a tuning that goes on from one cuts its
    micro-batches as it did before, which its last bits depend on.

    Args:
        tokens: padded tokens of a micro-batch.
        progress: who is told.
    """

    def __init__(self, tokens: int, progress: Progress = SILENT) -> None:
        self.tensor = torch.tensor(tokens, dtype=torch.int64)
        self._progress, self._halved = progress, False

    def __int__(self) -> int:
        return int(self.tensor)

    def halve(self, step: int, reason: str) -> None:
        """Take half from now on; called when step number ``step`` (0-based) found no memory.

        Raises:
            RecloraError: it was halved before, so this is not what helps.
        """
        tokens = int(self)
        if self._halved or tokens < 2:
            raise RecloraError(
                f"out of memory at step {step + 1}, with micro-batches of {tokens:,} tokens "
                f"({_first_line(reason)})",
                where="finetune",
                hint=_HINT.format(fewer=max(1, tokens // 2)),
            )
        self._halved = True
        self.tensor.fill_(tokens // 2)
        self._progress.warn(
            f"out of memory at step {step + 1}: micro-batches of {int(self):,} tokens from now on, "
            f"not {tokens:,}; the step is taken again from its start"
        )


def _first_line(reason: str) -> str:
    return (reason.strip().splitlines() or ["no message"])[0]
