"""What a workspace holds, read from its manifests, and the command that comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reclora_cli.errors import RecloraError
from reclora_cli.workspace import Artefact, Workspace

FINISHED, UNFINISHED, UNREADABLE = "finished", "unfinished", "unreadable"


@dataclass(frozen=True)
class Holding:
    """One artefact.

    Attributes:
        kind: ``dataset``, ``index``, ``crm`` or ``run``; of the task ``next`` ``sequences`` or
            ``encoder``.
        state: ``finished``, ``unfinished`` or ``unreadable``.
        written: when it was finished, ISO 8601; empty otherwise.
        figures: what its stage noted in the manifest.
    """

    kind: str
    name: str
    dataset: str
    state: str
    written: str
    figures: dict[str, Any]


@dataclass(frozen=True)
class Overview:
    """What the workspace holds.

    Attributes:
        holdings: datasets, each followed by its indexes, CRMs and runs, oldest first.
        next_command: what brings the last prepared dataset one stage on.
    """

    workspace: str
    holdings: list[Holding]
    next_command: str


_KINDS = {"index": "index", "crm": "crm", "runs": "run", "encoders": "encoder"}


def look(workspace: Workspace) -> Overview:
    """Read every manifest below ``workspace``; damaged ones are shown as such, not raised."""
    holdings: list[Holding] = []
    datasets = workspace.datasets()
    for dataset in datasets:
        holdings += _prepared(workspace, dataset)
        for folder, kind in _KINDS.items():
            found = workspace.artefacts(dataset, folder)
            holdings += [_holding(kind, dataset, artefact) for artefact in found]
    current = datasets[-1] if datasets else None
    return Overview(str(workspace.root), holdings, _next(holdings, current))


def _prepared(workspace: Workspace, dataset: str) -> list[Holding]:
    """The interactions, the sequences, or both."""
    both = {"dataset": workspace.store(dataset), "sequences": workspace.sequences(dataset)}
    made = {kind: artefact for kind, artefact in both.items() if artefact.path.is_dir()}
    return [_holding(kind, dataset, artefact) for kind, artefact in made.items()]


def _holding(kind: str, dataset: str, artefact: Artefact) -> Holding:
    name = dataset if kind in {"dataset", "sequences"} else artefact.name
    try:
        manifest = artefact.manifest()
    except RecloraError:
        return Holding(kind, name, dataset, UNREADABLE, "", {})
    if manifest is None:
        return Holding(kind, name, dataset, UNFINISHED, "", {})
    return Holding(kind, name, dataset, FINISHED, manifest.written, manifest.figures)


def _next(holdings: list[Holding], dataset: str | None) -> str:
    if dataset is None:
        return "reclora demo"
    of_dataset = [holding for holding in holdings if holding.dataset == dataset]
    finished = {holding.kind for holding in of_dataset if holding.state == FINISHED}
    if "dataset" not in finished:
        return f"reclora pretrain-crm --recipe {dataset}"
    steps = {"index": "build-index", "crm": "pretrain-crm", "run": "finetune"}
    for kind, command in steps.items():
        if kind not in finished:
            return f"reclora {command}"
    return "reclora evaluate"
