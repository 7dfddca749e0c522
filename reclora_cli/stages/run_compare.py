"""Two runs side by side, bit for bit: a run and its reproduction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from reclora_cli.errors import RecloraError
from reclora_cli.recipe import differences
from reclora_cli.stages.runs import surroundings
from reclora_cli.training import Log
from reclora_cli.workspace import Manifest


@dataclass(frozen=True)
class Reproduction:
    """How a run that was tuned again compares with the one it repeats.

    Attributes:
        of: folder of the run that was repeated.
        same: every tensor of the adapter has the same bits.
        tensors: how many there are; ``differing`` of them differ, by at most
            ``largest_difference``.
        first_differing_step: at which the logged losses part, if they do.
        surroundings: package versions, machine, device, processes, threads and micro-batch, where
            they are not the same, as ``name: theirs -> ours``.
    """

    of: str
    same: bool
    tensors: int
    differing: int
    largest_difference: float
    first_differing_step: int | None
    surroundings: list[str]


def compared(folder: Path, again: Path, before: Manifest, now: Manifest) -> Reproduction:
    """Hold the run in ``again`` against the one in ``folder``.

    Raises:
        RecloraError: an adapter cannot be read.
    """
    theirs, ours = _tensors(folder / "adapter"), _tensors(again / "adapter")
    apart = [
        _distance(theirs.get(name), ours.get(name))
        for name in sorted({*theirs, *ours})
        if not _equal(theirs.get(name), ours.get(name))
    ]
    return Reproduction(
        of=str(folder),
        same=not apart,
        tensors=len({*theirs, *ours}),
        differing=len(apart),
        largest_difference=max(apart, default=0.0),
        first_differing_step=_parting(folder / "log.jsonl", again / "log.jsonl"),
        surroundings=differences(surroundings(before), surroundings(now)),
    )


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise RecloraError(
            "the run's adapter is missing",
            where=str(folder),
            hint="Copy the whole run folder, adapter/ too.",
        )
    try:
        return {
            f"{file.name}: {name}": tensor
            for file in files
            for name, tensor in load_file(file).items()
        }
    except (SafetensorError, OSError) as error:
        raise RecloraError(
            f"the adapter cannot be read ({error})",
            where=str(folder),
            hint="Copy the run folder again.",
        ) from None


def _equal(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    return a is not None and b is not None and a.dtype == b.dtype and torch.equal(a, b)


def _distance(a: torch.Tensor | None, b: torch.Tensor | None) -> float:
    if a is None or b is None or a.shape != b.shape:
        return float("inf")
    return float((a.double() - b.double()).abs().max())


def _parting(one: Path, other: Path) -> int | None:
    """The first step whose loss differs; of steps that both logged."""
    theirs, ours = _losses(one), _losses(other)
    apart = (step for step, loss in theirs.items() if ours.get(step, loss) != loss)
    return min(apart, default=None)


def _losses(file: Path) -> dict[int, Any]:
    return {line["step"]: line["loss"] for line in Log(file).read() if "loss" in line}
