"""What ``evaluate`` of the task ``next`` kept, read back.

datasets/<dataset>/evaluations-next/<split>-<rows hash>-<models>.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reclora_cli.metrics.compare import Difference, Figure
from reclora_cli.stages.kept_evaluations import read_difference, read_figures
from reclora_cli.workspace import Workspace


@dataclass(frozen=True)
class KeptNextModel:
    """One model of an evaluation.

    Attributes:
        identity: of the artefact that was scored; another one may lie there now.
        figures: as ``evaluate`` names them, e.g. ``hit_ratio@1``.
    """

    name: str
    kind: str
    method: str
    identity: str
    figures: dict[str, Figure]
    seconds: float


@dataclass(frozen=True)
class KeptNextPair:
    """``model`` minus ``reference`` on the same rows; ``mcnemar_p`` of the rankings' HR@1."""

    model: str
    reference: str
    figures: dict[str, Difference]
    mcnemar_p: float


@dataclass(frozen=True)
class KeptNextEvaluation:
    """Models on the same rows and candidates, as ``evaluate`` found them.

    Attributes:
        written: seconds since 1970.
        rows: rows scored, ``of`` so many in the split; a ``subset`` when fewer.
        rows_hash, candidates_sha256: figures of other rows or candidates are none to compare.
        chance: HR@1 of a blind choice.
    """

    file: str
    written: float
    split: str
    rows: int
    of: int
    subset: bool
    rows_hash: str
    candidates: int
    candidates_sha256: str
    chance: float
    seed: int
    resamples: int
    confidence: float
    reference: str
    models: list[KeptNextModel]
    differences: list[KeptNextPair]


@dataclass(frozen=True)
class KeptNext:
    """Evaluations, oldest first, and the files that could not be read."""

    evaluations: list[KeptNextEvaluation]
    unreadable: list[str]


def read_all(workspace: Workspace, dataset: str) -> KeptNext:
    """Every evaluation of a dataset; damaged files are named, not raised."""
    found: list[KeptNextEvaluation] = []
    unreadable: list[str] = []
    for file in (workspace.dataset(dataset) / "evaluations-next").glob("*.json"):
        try:
            found.append(read(file))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            unreadable.append(str(file))
    return KeptNext(sorted(found, key=lambda one: (one.written, one.file)), sorted(unreadable))


def read(file: Path) -> KeptNextEvaluation:
    """One of them.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError: it is damaged.
    """
    told = json.loads(file.read_text(encoding="utf-8"))
    return KeptNextEvaluation(
        file=str(file),
        written=file.stat().st_mtime,
        split=str(told["split"]),
        rows=int(told["rows"]),
        of=int(told["of"]),
        subset=bool(told["subset"]),
        rows_hash=str(told["rows_hash"]),
        candidates=int(told["candidates"]),
        candidates_sha256=str(told["candidates_sha256"]),
        chance=float(told["chance"]),
        seed=int(told["seed"]),
        resamples=int(told["resamples"]),
        confidence=float(told["confidence"]),
        reference=str(told["reference"]),
        models=[_model(one) for one in told["models"]],
        differences=[_pair(one) for one in told["differences"]],
    )


def _model(told: Mapping[str, Any]) -> KeptNextModel:
    return KeptNextModel(
        name=str(told["name"]),
        kind=str(told["kind"]),
        method=str(told["method"]),
        identity=str(told["identity"]),
        figures=read_figures(told["figures"]),
        seconds=float(told["seconds"]),
    )


def _pair(told: Mapping[str, Any]) -> KeptNextPair:
    return KeptNextPair(
        model=str(told["model"]),
        reference=str(told["reference"]),
        figures={name: read_difference(one) for name, one in told["figures"].items()},
        mcnemar_p=float(told["mcnemar"]["p"]),
    )
