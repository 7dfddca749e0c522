"""The training loop that CRM and LM share: resumable, and exact after an interruption.

Nothing that a step depends on lives outside its checkpoint: batches are a function of the step,
learning rates are a function of the step, and the random numbers of a step (dropout) come from a
stream that the step names. So a run that was killed and repeated takes the same steps.

Several processes (``processes``) take their shares of each step and sum their gradients before the
update, so each holds the weights that one process would have; the main one alone writes. Random
numbers differ: each process but the main one draws from streams of its own.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

from reclora_cli.errors import RecloraError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.training.checkpoint import Checkpoints
from reclora_cli.training.log import StepLog
from reclora_cli.training.step import make_optimizer, take_step
from reclora_cli.training.work import Batch, ParameterGroup, Work

__all__ = ["AfterStep", "ParameterGroup", "Work", "fit", "make_optimizer"]

_SHARED_DISK = "All processes must see one workspace: put it on a disk that all machines share."


class AfterStep(Protocol):
    """Called after each optimizer step, before its checkpoint, in every process.

    ``memory`` is plain JSON, kept in checkpoints: best metric so far, and the like. It must come
    out the same in every process. Returns ``True`` to stop.
    """

    def __call__(self, step: int, memory: dict[str, Any]) -> bool: ...


def fit(
    work: Work[Batch],
    *,
    checkpoints: Checkpoints | None = None,
    log: StepLog | None = None,
    after_step: AfterStep | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Train to the last step, from the last checkpoint if there is one.

    Returns:
        the memory that ``after_step`` filled, with ``steps`` taken and the ``last_loss``.

    Raises:
        RecloraError: the loss stopped being finite; names the step and the last good checkpoint.
            Or another of the processes ended.
    """
    optimizer = make_optimizer(work.groups, fused=work.fused)
    work.together.wait()  # What the main process wrote or cleared before must not change now.
    step, memory = (
        checkpoints.restore(work.tensors, optimizer, progress) if checkpoints else (0, {})
    )
    work.together.require_same(step, "checkpoints", _SHARED_DISK)
    log, keeping = (log, checkpoints) if work.together.main else (None, None)
    if log:
        log.keep_until(step)
    if step:
        progress.say(f"going on from step {step:,} of {work.steps:,}")
    stopped = bool(memory.get("stopped"))
    total = work.steps * work.rows_per_step
    with progress.task(work.title, total, "rows") as task:
        task.advance(step * work.rows_per_step)
        while step < work.steps and not stopped:
            loss = take_step(work, optimizer, step, work.micro_batches(step))
            step += 1
            if not math.isfinite(loss):
                raise _diverged(step, loss, checkpoints)
            memory |= {"steps": step, "last_loss": loss}
            task.advance(work.rows_per_step, loss=round(loss, 4))
            if log:
                log.write(step=step, loss=loss, learning_rate=optimizer.param_groups[0]["lr"])
            stopped = bool(after_step and after_step(step, memory))
            memory["stopped"] = stopped
            if keeping and (step % keeping.every == 0 or stopped or step == work.steps):
                keeping.save(step, work.tensors, optimizer, memory)
    return memory


def _diverged(step: int, loss: float, checkpoints: Checkpoints | None) -> RecloraError:
    kept = (
        f"the last good checkpoint is in {checkpoints.folder}"
        if checkpoints
        else "nothing was kept"
    )
    return RecloraError(
        f"training diverged at step {step}: the loss, or its gradient, is {loss}; {kept}",
        hint="Lower the learning rate with --set and repeat the command.",
    )
