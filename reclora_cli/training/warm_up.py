"""How fast a tuning is on this device, by taking a little of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from reclora_cli.device import wait
from reclora_cli.training.lm_work import AnswerBatch
from reclora_cli.training.step import make_optimizer
from reclora_cli.training.work import Work


@dataclass(frozen=True)
class Rate:
    """What a few micro-batches took.

    Attributes:
        rows: timed prompts.
        seconds_per_token: forward and backward, by tokens of micro-batches, padding included.
        seconds_per_step: the optimizer's update.
    """

    rows: int
    seconds_per_token: float
    seconds_per_step: float


def measure(work: Work[AnswerBatch], seconds: float = 5.0) -> Rate:
    """Take micro-batches of the first steps for about ``seconds``; the first is not timed.

    Gradients are left at ``None`` and no weight is changed: the update is timed at a rate of 0.

    Args:
        work: as ``lm_work`` makes it; its adapter is in the model.
    """
    batches = [batch for step in range(min(2, work.steps)) for batch, _ in work.micro_batches(step)]
    _pass(work, batches[0])
    rows, tokens, start = 0, 0, time.perf_counter()
    for batch in batches[1:] or batches:
        _pass(work, batch)
        rows, tokens = rows + len(batch.ids_BT), tokens + batch.ids_BT.numel()
        if time.perf_counter() - start > seconds:
            break
    per_token = (time.perf_counter() - start) / tokens
    per_step = _update(work)
    for parameter in work.parameters():
        parameter.grad = None
    return Rate(rows, per_token, per_step)


def _pass(work: Work[AnswerBatch], batch: AnswerBatch) -> None:
    with torch.random.fork_rng(devices=[]), work.during(batch):
        work.loss(batch).backward()  # type: ignore[no-untyped-call]
    wait(batch.ids_BT.device)


def _update(work: Work[AnswerBatch]) -> float:
    optimizer = make_optimizer(work.groups)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        group["weight_decay"] = 0.0
    device = work.parameters()[0].device
    optimizer.step()  # Allocates the moments.
    wait(device)
    start = time.perf_counter()
    optimizer.step()
    wait(device)
    return time.perf_counter() - start
