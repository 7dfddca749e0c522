"""The machine: processor, devices, memory, and the disks that cache and workspace lie on."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from reclora_cli import device as devices
from reclora_cli.stages.doctor.findings import (
    FAIL,
    OK,
    WARN,
    Check,
    DeviceFacts,
    DiskFacts,
    MachineFacts,
)

PART = "machine"
LITTLE_MEMORY, LITTLE_DISK, NO_DISK = 4 * 2**30, 2 * 2**30, 100 * 2**20
"""Bytes below which something is worth saying; ``finetune --dry-run`` has the exact need."""


def look(workspace: Path, cache: Path) -> MachineFacts:
    """What there is. Needs torch."""
    import torch

    return MachineFacts(
        platform=platform.platform(),
        processor=_processor(),
        cpus=os.cpu_count() or 1,
        usable=_usable(),
        threads=torch.get_num_threads(),
        chosen=devices.pick("auto").type,
        devices=[
            DeviceFacts(
                str(device),
                devices.describe(device),
                devices.total_memory(device),
                devices.free_memory(device),
                devices.has_fast_bf16(device),
            )
            for device in devices.every()
        ],
        disks=[_disk("workspace", workspace), _disk("cache", cache)],
    )


def checks(facts: MachineFacts) -> list[Check]:
    """Threads, memory and room."""
    return [_threads(facts), *(_memory(one) for one in facts.devices), *map(_room, facts.disks)]


def _threads(facts: MachineFacts) -> Check:
    told = f"{facts.threads} threads, {facts.usable} of {facts.cpus} CPUs usable"
    if facts.threads < facts.usable:
        hint = f"Unset OMP_NUM_THREADS, or set it to {facts.usable}."
        return Check(PART, "threads", WARN, told, hint)
    return Check(PART, "threads", OK, told)


def _memory(one: DeviceFacts) -> Check:
    bf16 = "bf16 is fast" if one.fast_bf16 else "no units for bf16: fp32 is used"
    told = f"{one.described}; {bf16}"
    if one.free is None:
        return Check(PART, one.kind, OK, told)
    told += f"; {one.free / 2**30:.1f} GiB free"
    if one.free < LITTLE_MEMORY:
        hint = "Fine-tuning may need more: `reclora finetune --dry-run` tells how much."
        return Check(PART, one.kind, WARN, told, hint)
    return Check(PART, one.kind, OK, told)


def _room(disk: DiskFacts) -> Check:
    told = f"{disk.free / 2**30:.1f} GiB free at {disk.path}"
    name = f"disk of the {disk.what}"
    mend = "Free some space, e.g. `reclora cache prune --older-than 30d`"
    place = "--workspace" if disk.what == "workspace" else "RECLORA_CACHE"
    if disk.free < NO_DISK:
        return Check(PART, name, FAIL, told, f"{mend}, or use another place: {place}.")
    if disk.free < LITTLE_DISK:
        return Check(PART, name, WARN, told, f"{mend}, or use another place: {place}.")
    return Check(PART, name, OK, told)


def _disk(what: str, path: Path) -> DiskFacts:
    """Of the nearest folder that exists."""
    there = next(
        folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists()
    )
    usage = shutil.disk_usage(there)
    return DiskFacts(what, str(path), usage.free, usage.total)


def _usable() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it.
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _processor() -> str:
    """Its name, as Linux tells it; elsewhere what Python knows."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
