"""Which device computes, and in which precision: the only place that decides it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reclora_cli import processes
from reclora_cli.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import torch

NAMES = ("auto", "cpu", "cuda", "mps")


def pick(name: str = "auto") -> torch.device:
    """The device called ``name``; ``auto`` takes CUDA, else Apple's MPS, else the CPU.

    Of several processes that train together each takes a GPU of its own.

    Raises:
        UsageError: no such name, or this machine (or this build of torch) has no such device, or
            fewer GPUs than processes.
    """
    import torch

    if name not in NAMES:
        raise UsageError(
            f"unknown device {name!r}", where="--device", hint=did_you_mean(name, NAMES)
        )
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if present[kind])
    if not present[name]:
        usable = ", ".join(kind for kind, there in present.items() if there)
        raise UsageError(
            f"torch {torch.__version__} finds no {name} device on this machine",
            where="--device",
            hint=f"Usable here: {usable}.",
        )
    if name == "cuda" and not processes.started().alone:
        return _own_gpu()
    return torch.device(name)


def _own_gpu() -> torch.device:
    import torch

    number, gpus = processes.local_rank(), torch.cuda.device_count()
    if number >= gpus:
        raise UsageError(
            f"process {number + 1} of this machine finds {gpus} GPUs",
            where="--device",
            hint="Start one process for each GPU, or use --device cpu.",
        )
    return torch.device("cuda", number)


def compute_dtype(device: torch.device) -> torch.dtype:
    """Precision of a frozen LM on ``device``: bfloat16 on CUDA, float32 elsewhere.

    CPUs without bfloat16 units run it about a hundred times slower than float32.
    """
    import torch

    return torch.bfloat16 if device.type == "cuda" else torch.float32


def describe(device: torch.device) -> str:
    """The device in words, e.g. ``cpu, 2 threads`` or ``cuda, NVIDIA H200, 139 GiB``."""
    import torch

    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        return f"cuda, {found.name}, {found.total_memory / 2**30:.0f} GiB"
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} threads of {os.cpu_count()} cores"
    return device.type
