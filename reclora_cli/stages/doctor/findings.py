"""What ``doctor`` tells, part by part. Nothing heavy is imported: a machine may lack torch."""

from __future__ import annotations

from dataclasses import dataclass

from reclora_cli.stages.cache import CacheList

OK, WARN, FAIL, SKIPPED = "ok", "warn", "fail", "skipped"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        part: ``packages``, ``machine``, ``sources``, ``cache``, ``workspace`` or ``speed``.
        name: what was looked at.
        state: ``ok``; ``warn``: works, but something is worth knowing; ``fail``: broken;
            ``skipped``: not asked for, or not possible here.
        told: what was found.
        hint: the command or change that mends it; empty where nothing has to be.
    """

    part: str
    name: str
    state: str
    told: str
    hint: str = ""


@dataclass(frozen=True)
class DeviceFacts:
    """One device.

    Attributes:
        described: in words.
        total, free: bytes of memory; ``None`` where nothing tells.
        fast_bf16: whether it multiplies bfloat16 in hardware.
    """

    kind: str
    described: str
    total: int | None
    free: int | None
    fast_bf16: bool


@dataclass(frozen=True)
class DiskFacts:
    """Room where something is kept."""

    what: str
    path: str
    free: int
    total: int


@dataclass(frozen=True)
class MachineFacts:
    """The machine.

    Attributes:
        cpus: of the machine; ``usable``: that this process may use; ``threads``: torch's.
        chosen: the device that ``--device auto`` takes.
    """

    platform: str
    processor: str
    cpus: int
    usable: int
    threads: int
    chosen: str
    devices: list[DeviceFacts]
    disks: list[DiskFacts]


@dataclass(frozen=True)
class SourceState:
    """How a place answered.

    Attributes:
        reachable: ``None`` where it was not asked.
        told: the answer, or why there is none.
        seconds: until the answer came.
    """

    address: str
    gives: str
    reachable: bool | None
    told: str
    seconds: float | None


@dataclass(frozen=True)
class ArtefactHealth:
    """One artefact.

    Attributes:
        kind: ``store``, ``sequences``, ``index``, ``crm``, ``encoder`` or ``run``.
        state: ``whole``, ``unfinished`` (interrupted) or ``damaged``.
        hashed: files whose content was held against the SHA-256 they were written with; 0 of
            what an earlier version made, of which files are opened and nothing more is known.
        told: what is wrong, or how far it came.
        hint: the command that mends it or goes on.
    """

    kind: str
    name: str
    dataset: str
    state: str
    hashed: int
    told: str
    hint: str


@dataclass(frozen=True)
class WorkspaceHealth:
    """A workspace.

    Attributes:
        writer: the process that writes in it now, if one does.
        leftovers: what killed processes left; no command reads it.
        unreadable: evaluations that cannot be read.
    """

    folder: str
    exists: bool
    writer: str | None
    artefacts: list[ArtefactHealth]
    leftovers: list[str]
    unreadable: list[str]


@dataclass(frozen=True)
class Speed:
    """What was measured on one device.

    Attributes:
        fp32, bf16: GFLOP/s of products of square matrices ``width`` wide; ``None`` where the
            device cannot.
        lm: the packaged LM that was asked, or empty.
        tokens_per_second: that it reads, without gradients.
        rows_per_second: that it scores, at ``ROW_TOKENS`` tokens a row.
        seconds: that measuring took, without loading.
    """

    device: str
    width: int
    fp32: float | None
    bf16: float | None
    lm: str
    tokens_per_second: float | None
    rows_per_second: float | None
    seconds: float


@dataclass(frozen=True)
class Diagnosis:
    """What ``doctor`` found.

    Attributes:
        usable: no check failed.
        torch_build: ``CPU``, ``CUDA 12.8``, ``ROCm 6.4``; empty where torch cannot be imported.
        machine, sources, cache, workspace, speed: ``None`` where torch is missing, or speed was
            not asked for.
        checks: every check in the order of parts.
    """

    usable: bool
    versions: dict[str, str]
    torch_build: str
    git_revision: str
    machine: MachineFacts | None
    sources: list[SourceState]
    cache: CacheList | None
    workspace: WorkspaceHealth | None
    speed: Speed | None
    checks: list[Check]
