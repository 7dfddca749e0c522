"""The training loop that CRM and LM share: resumable, and exact after an interruption.

Nothing that a step depends on lives outside its checkpoint: batches are a function of the step,
learning rates are a function of the step, and the random numbers of a step (dropout) come from a
stream that the step names. So a run that was killed and repeated takes the same steps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from reclora_cli.errors import RecloraError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.seeding import stream_seed
from reclora_cli.training.checkpoint import Checkpoints
from reclora_cli.training.schedule import Linear, Schedule
from reclora_cli.workspace import write_text

Batch = TypeVar("Batch")


class AfterStep(Protocol):
    """Called after each optimizer step, before its checkpoint.

    ``memory`` is plain JSON, kept in checkpoints: best metric so far, and the like.
    Returns ``True`` to stop.
    """

    def __call__(self, step: int, memory: dict[str, Any]) -> bool: ...


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
        micro_batches: step (0-based) -> ``(batch, weight)`` pairs whose weights sum to 1. A pure
            function of the step.
        loss: mean loss of one micro-batch, a scalar with a graph.
        during: context held over a micro-batch's forward and backward pass (bound gate weights).
        unit: what ``rows_per_step`` counts, for progress.
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


class Log:
    """A JSON-lines log. Lines of steps after a resumed checkpoint are dropped first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep_until(self, step: int) -> None:
        """Drop the lines of later steps, and a last line that was cut short."""
        if not self.path.is_file():
            return
        kept = [
            line for line in self.path.read_text("utf-8").splitlines() if _step_of(line) <= step
        ]
        write_text(self.path, "".join(f"{line}\n" for line in kept))

    def write(self, **figures: Any) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All lines, oldest first."""
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]


def fit(
    work: Work[Batch],
    *,
    checkpoints: Checkpoints | None = None,
    log: Log | None = None,
    after_step: AfterStep | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Train to the last step, from the last checkpoint if there is one.

    Returns:
        the memory that ``after_step`` filled, with ``steps`` taken and the ``last_loss``.

    Raises:
        RecloraError: the loss stopped being finite; names the step and the last good checkpoint.
    """
    optimizer = make_optimizer(work.groups)
    step, memory = (
        checkpoints.restore(work.tensors, optimizer, progress) if checkpoints else (0, {})
    )
    if log:
        log.keep_until(step)
    if step:
        progress.say(f"going on from step {step:,} of {work.steps:,}")
    stopped = bool(memory.get("stopped"))
    with progress.task(work.title, total=work.steps * work.rows_per_step, unit="rows") as task:
        task.advance(step * work.rows_per_step)
        while step < work.steps and not stopped:
            loss = _step(work, optimizer, step, checkpoints)
            step += 1
            memory |= {"steps": step, "last_loss": loss}
            task.advance(work.rows_per_step, loss=round(loss, 4))
            if log:
                log.write(step=step, loss=loss, learning_rate=optimizer.param_groups[0]["lr"])
            stopped = bool(after_step and after_step(step, memory))
            memory["stopped"] = stopped
            if checkpoints and (step % checkpoints.every == 0 or stopped or step == work.steps):
                checkpoints.save(step, work.tensors, optimizer, memory)
    return memory


def make_optimizer(groups: list[ParameterGroup]) -> torch.optim.Optimizer:
    """AdamW with one PyTorch group for each of ours; ``peak`` keeps the scheduled rate's top."""
    return torch.optim.AdamW(
        [
            {
                "params": group.parameters,
                "lr": group.learning_rate,
                "peak": group.learning_rate,
                "weight_decay": group.weight_decay,
            }
            for group in groups
        ]
    )


def _step(
    work: Work[Batch], optimizer: torch.optim.Optimizer, step: int, checkpoints: Checkpoints | None
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * work.schedule(step, work.steps)
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    with torch.random.fork_rng(devices=_devices(work)):
        torch.manual_seed(stream_seed(work.seed, "step", step))
        for batch, weight in work.micro_batches(step):
            with work.during(batch):
                loss = work.loss(batch) * weight
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
    if not math.isfinite(total):
        raise _diverged(step, total, checkpoints)
    if work.clip_norm is not None:
        parameters = [parameter for group in work.groups for parameter in group.parameters]
        torch.nn.utils.clip_grad_norm_(parameters, work.clip_norm)
    optimizer.step()
    return total


def _devices(work: Work[Any]) -> list[torch.device]:
    devices = {tensor.device for tensor in work.tensors.values()}
    return [device for device in devices if device.type == "cuda"]


def _diverged(step: int, loss: float, checkpoints: Checkpoints | None) -> RecloraError:
    kept = (
        f"the last good checkpoint is in {checkpoints.folder}"
        if checkpoints
        else "nothing was kept"
    )
    return RecloraError(
        f"training diverged at step {step + 1}: the loss is {loss}; {kept}",
        hint="Lower the learning rate with --set and repeat the command.",
    )


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return math.inf
