"""Which device computes, and in which precision: the only place that decides it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from reclora_cli import processes
from reclora_cli.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import torch

NAMES = ("auto", "cpu", "cuda", "mps")

_NO_MEMORY = (
    "DefaultCPUAllocator",
    "not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)

_CONTROL_GROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"),
)
"""Where Linux's control groups (v2, v1) tell a container's limit, use, and cached files."""


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
    present = {kind: kind in present_kinds() for kind in NAMES[1:]}
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


def present_kinds() -> list[str]:
    """Kinds of devices that this machine and this build of torch have, the CPU first."""
    import torch

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ["cpu", *(kind for kind, there in found.items() if there)]


def every() -> list[torch.device]:
    """Every device of this machine, the CPU first; each GPU by its number."""
    import torch

    kinds = present_kinds()
    found = [torch.device(kind) for kind in kinds if kind != "cuda"]
    return found + [torch.device("cuda", at) for at in range(gpus() if "cuda" in kinds else 0)]


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


def gpus() -> int:
    """How many CUDA devices this process sees."""
    import torch

    return torch.cuda.device_count()


def visible_gpu(number: int) -> str:
    """What ``CUDA_VISIBLE_DEVICES`` must say for a process to see this one's GPU ``number`` alone;
    numbers beyond the last begin again at the first."""
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    known = seen or [str(index) for index in range(max(1, gpus()))]
    return known[number % len(known)].strip()


def compute_dtype(device: torch.device, precision: str = "auto") -> torch.dtype:
    """Precision in which a frozen LM computes on ``device``. Experts and gates stay in fp32.

    ``auto``: bfloat16 on a GPU that has it, float32 elsewhere. On CPUs without bfloat16 units
    bfloat16 is about a hundred times slower than float32; on those with them (AMX) several times
    faster, but a score then carries three digits, not seven, so it has to be asked for.

    Args:
        precision: ``auto``, ``fp32`` or ``bf16``.

    Raises:
        UsageError: bfloat16 is asked for and ``device`` computes it slowly or not at all.
    """
    import torch

    if precision == "fp32":
        return torch.float32
    if precision == "auto":
        fast = device.type == "cuda" and has_fast_bf16(device)
        return torch.bfloat16 if fast else torch.float32
    if not has_fast_bf16(device):
        raise UsageError(
            f"{describe(device)} has no units for bfloat16",
            where="lm.precision",
            hint="Use --set lm.precision=fp32.",
        )
    return torch.bfloat16


def has_fast_bf16(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 in hardware: GPUs since Ampere, CPUs with AMX."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        told: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # since 2.9
        return bool(told.get("amx_bf16", False))
    return False


def could_be_bf16(device: torch.device, precision: str) -> bool:
    """Whether ``auto`` computes in float32 where bfloat16 would be fast: a CPU with AMX."""
    return precision == "auto" and device.type == "cpu" and has_fast_bf16(device)


def attention(device: torch.device, dtype: torch.dtype) -> str | None:
    """The attention that Transformers is asked for; ``None`` leaves its choice, which is SDPA.

    The package flash-attn is taken where it is installed and runs: NVIDIA GPUs since Ampere, half
    precision. PyTorch's SDPA has its own flash kernel there, and one for CPUs.
    """
    import torch

    if device.type != "cuda" or dtype == torch.float32:
        return None
    from transformers.utils import is_flash_attn_2_available

    ampere = torch.cuda.get_device_capability(device) >= (8, 0)
    return "flash_attention_2" if ampere and is_flash_attn_2_available() else None


def wait(device: torch.device) -> None:
    """Wait until ``device`` has computed what it was given; a CPU always has."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that a device, or this machine, has no memory left.

    PyTorch's allocator for CPUs raises a plain ``RuntimeError``, told by its message.
    """
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    told = str(error)
    return isinstance(error, RuntimeError) and any(sign in told for sign in _NO_MEMORY)


def free_memory(device: torch.device) -> int:
    """Bytes that this process could still take on ``device``.

    On a CPU, what the system has left, or the limit of this process's container if that is less.
    """
    import torch

    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + reserved
    import psutil

    left, in_container = int(psutil.virtual_memory().available), _container_memory()
    return left if in_container is None else min(left, in_container)


def total_memory(device: torch.device) -> int:
    """Bytes of memory that ``device`` has in all."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    import psutil

    return int(psutil.virtual_memory().total)


def held_memory(device: torch.device) -> int:
    """Bytes that this process holds on ``device`` now."""
    import torch

    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    import psutil

    return int(psutil.Process().memory_info().rss)


def _container_memory() -> int | None:
    """What a control group (v2, v1) leaves; ``None`` without a limit. Cached files can give way."""
    for folder, limit, used, cached in _CONTROL_GROUPS:
        try:
            most, now = (int((Path(folder) / name).read_text()) for name in (limit, used))
            told = (Path(folder) / "memory.stat").read_text().split()
            return max(0, most - now + int(told[told.index(cached) + 1]))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return None


def describe(device: torch.device) -> str:
    """The device in words, e.g. ``cpu, 2 threads`` or ``cuda, NVIDIA H200, 139 GiB``."""
    import torch

    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        return f"cuda, {found.name}, {found.total_memory / 2**30:.0f} GiB"
    if device.type == "cpu":
        return f"cpu, {torch.get_num_threads()} threads of {os.cpu_count()} cores"
    return device.type
