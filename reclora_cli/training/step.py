"""One optimizer step: forward and backward over its micro-batches, sums over processes, update.

Where the memory ends in a forward or backward pass, the work is asked for smaller micro-batches and
the step is taken again from its start, from the same random stream: no weight has moved yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from reclora_cli.device import out_of_memory
from reclora_cli.errors import RecloraError
from reclora_cli.seeding import stream_seed
from reclora_cli.training.work import Batch, ParameterGroup, Work


def make_optimizer(groups: list[ParameterGroup], *, fused: bool = False) -> torch.optim.Optimizer:
    """AdamW with one PyTorch group for each of ours; ``peak`` keeps the scheduled rate's top.

    Args:
        fused: one pass over a table and its moments instead of a dozen, which is much of a CRM's
            step; it rounds otherwise in the last bit.
    """
    return torch.optim.AdamW(
        [
            {
                "params": group.parameters,
                "lr": group.learning_rate,
                "peak": group.learning_rate,
                "weight_decay": group.weight_decay,
            }
            for group in groups
        ],
        fused=fused,
    )


def take_step(
    work: Work[Batch],
    optimizer: torch.optim.Optimizer,
    step: int,
    micro_batches: Iterable[tuple[Batch, float]],
) -> float:
    """Take step number ``step`` (0-based); a loss that is not finite changes no weight.

    Args:
        micro_batches: this process's share of it.

    Returns:
        the mean loss over the rows of all processes.

    Raises:
        RecloraError: the memory ended, and smaller micro-batches are no help.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * work.schedule(step, work.steps)
    optimizer.zero_grad(set_to_none=True)
    loss = _backward(work, step, micro_batches)
    if not work.together.alone:
        loss = _sum_over_processes(work, loss)
    if not math.isfinite(loss):
        return loss
    if work.clip_norm is not None:
        norm = torch.nn.utils.clip_grad_norm_(work.parameters(), work.clip_norm)
        if not math.isfinite(float(norm)):  # A finite loss may have gradients that are not.
            return math.nan
    optimizer.step()
    return loss


def _backward(work: Work[Batch], step: int, micro_batches: Iterable[tuple[Batch, float]]) -> float:
    """Leave this process's part of the gradients; return its part of the loss."""
    while True:
        try:
            return _passes(work, step, micro_batches)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if work.relieve is None:
                raise _no_memory(work, step) from error
            reason = str(error)
        # Left the block first: the error's traceback holds what the pass had allocated.
        work.relieve(step, reason)
        for parameter in work.parameters():
            parameter.grad = None
        if _devices(work):
            torch.cuda.empty_cache()
        micro_batches = work.micro_batches(step)


def _no_memory(work: Work[Any], step: int) -> RecloraError:
    return RecloraError(
        f"out of memory at step {step + 1}",
        where=work.title,
        hint="Take smaller batches with --set; --dry-run tells what is held.",
    )


def _passes(work: Work[Batch], step: int, micro_batches: Iterable[tuple[Batch, float]]) -> float:
    # The main process draws what a process alone draws; the others have streams of their own.
    stream = ("step", step) if work.together.main else ("step", step, work.together.rank)
    total = 0.0
    with torch.random.fork_rng(devices=_devices(work)):
        torch.manual_seed(stream_seed(work.seed, *stream))
        for batch, weight in micro_batches:
            with work.during(batch):
                loss = work.loss(batch) * weight
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
    return total


def _sum_over_processes(work: Work[Any], loss: float) -> float:
    """Replace gradients by their sums over all processes, in one exchange; return the loss's.

    Weights of micro-batches are shares of the whole step, so a sum is the whole batch's mean.
    Each process gets the same bits, so their weights never part.
    """
    parameters = work.parameters()
    gradients = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in parameters]
    own = torch.cat(
        [*(gradient.flatten() for gradient in gradients), gradients[0].new_tensor([loss])]
    )
    summed = work.together.summed(own)
    parts = torch.split(summed, [*(gradient.numel() for gradient in gradients), 1])
    for parameter, part in zip(parameters, parts, strict=False):
        parameter.grad = part.view_as(parameter).to(parameter.dtype)
    return float(parts[-1])


def _devices(work: Work[Any]) -> list[torch.device]:
    devices = {tensor.device for tensor in work.tensors.values()}
    return [device for device in devices if device.type == "cuda"]
