"""Several models of a grid at a time: each in a process of its own, on a GPU of its own.

Stages that models share are made before, one after the other, so no two processes make the same
artefact. This process holds the workspace for all of them (``Workspace.writing_for``); each ends
when this one does, however it ends, and goes on from its checkpoint when the grid is repeated.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reclora_cli import recipe as recipes
from reclora_cli.errors import RecloraError
from reclora_cli.pipeline.ablation_models import name_of
from reclora_cli.recipe import Recipe
from reclora_cli.workspace import Stopwatch, Workspace

_WORKER = "reclora_cli.pipeline.ablation_worker"
_LOOK_EVERY_S = 0.2
_TOLD_LINES = 5
_PATIENCE_S = 60
"""How long an interrupted process may take to end; then it is killed, and loses no more than since
its last checkpoint."""

Ended = Callable[[str, str, float], None]


@dataclass
class _Worker:
    """One process under way."""

    name: str
    slot: int
    process: subprocess.Popen[str]
    watch: Stopwatch
    log: Path


def default_jobs(device: str) -> int:
    """As many as there are GPUs to compute on; 1 without any."""
    from reclora_cli import device as devices

    return devices.gpus() if devices.pick(device).type == "cuda" else 1


def run_side_by_side(
    wanted: Sequence[Recipe],
    base: Recipe,
    workspace: Workspace,
    logs: Path,
    ended: Ended,
    *,
    jobs: int,
    device: str,
) -> None:
    """Tune and score ``wanted``, ``jobs`` at a time; ``ended`` is told of each.

    Args:
        logs: folder for what the processes say, one file a run.

    Raises:
        RecloraError: one of them failed; the others that were under way have ended well.
    """
    waiting = list(wanted)
    under_way: list[_Worker] = []
    failed: list[_Worker] = []
    with workspace.writing():
        try:
            while (waiting and not failed) or under_way:
                free = [slot for slot in range(jobs) if slot not in {w.slot for w in under_way}]
                for slot in free if not failed else ():
                    if waiting:
                        recipe = waiting.pop(0)
                        under_way.append(
                            _start(recipe, base, workspace, logs, slot, jobs=jobs, device=device)
                        )
                time.sleep(_LOOK_EVERY_S)
                for worker in [one for one in under_way if one.process.poll() is not None]:
                    under_way.remove(worker)
                    if worker.process.returncode == 0:
                        ended(worker.name, _reached(worker), worker.watch.seconds)
                    else:
                        failed.append(worker)
        finally:
            _stop(under_way)
    if failed:
        raise _failure(failed[0])


def _start(
    recipe: Recipe,
    base: Recipe,
    workspace: Workspace,
    logs: Path,
    slot: int,
    *,
    jobs: int,
    device: str,
) -> _Worker:
    name = name_of("run", recipe, workspace)
    job = {
        "recipe": recipes.to_yaml(recipe),
        "base": recipes.to_yaml(base),
        "workspace": str(workspace.root),
        "device": device,
    }
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    with log.open("w", encoding="utf-8") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            env=_environment(slot, jobs=jobs, device=device, workspace=workspace),
            start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on once.
        )
    # Left open: its end tells the process that this one is gone.
    pipe: IO[str] | None = process.stdin
    assert pipe is not None
    with suppress(BrokenPipeError):  # It has ended already: its log tells why.
        pipe.write(json.dumps(job) + "\n")
        pipe.flush()
    return _Worker(name, slot, process, Stopwatch(), log)


def _environment(slot: int, *, jobs: int, device: str, workspace: Workspace) -> dict[str, str]:
    from reclora_cli import device as devices

    found = {**os.environ, **workspace.writing_for()}
    if devices.pick(device).type == "cuda":
        found["CUDA_VISIBLE_DEVICES"] = devices.visible_gpu(slot)
    else:
        found["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // jobs))
    return found


def _reached(worker: _Worker) -> str:
    assert worker.process.stdout is not None
    return str(json.loads(worker.process.stdout.read())["reached"])


def _stop(workers: Sequence[_Worker]) -> None:
    """Interrupt, as Ctrl-C does: they keep the scores they have, and end."""
    for worker in workers:
        worker.process.send_signal(signal.SIGINT)
    for worker in workers:
        try:
            worker.process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()


def _failure(worker: _Worker) -> RecloraError:
    lines = worker.log.read_text(encoding="utf-8").strip().splitlines()
    return RecloraError(
        f"{worker.name} ended with {worker.process.returncode}\n"
        + "\n".join(f"  {line}" for line in lines[-_TOLD_LINES:]),
        where=str(worker.log),
        hint="What was finished is kept: repeat the command to go on.",
    )
