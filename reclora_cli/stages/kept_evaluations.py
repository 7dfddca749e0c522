"""What ``evaluate`` kept, read back leniently: files of earlier versions hold less.

datasets/<dataset>/evaluations/<split>-<rows hash>-<models>.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from reclora_cli.metrics.calibration import CalibrationBin
from reclora_cli.metrics.compare import Difference, Figure
from reclora_cli.workspace import Workspace

_NO_METRICS = ("rows", "base_rate")


@dataclass(frozen=True)
class KeptModel:
    """One model of an evaluation.

    Attributes:
        identity: of the artefact that was scored; another one may lie there now.
        figures: of all rows, by metric: ``auc``, ``log_loss``, ``accuracy``, and what there is.
        calibration: bins that hold rows; empty in files that have none.
        seconds: that scoring all rows took.
    """

    name: str
    kind: str
    method: str
    identity: str
    figures: dict[str, Figure]
    base_rate: float | None
    seconds: float
    calibration: list[CalibrationBin]


@dataclass(frozen=True)
class KeptDifference:
    """``model`` minus ``reference`` on the same rows."""

    model: str
    reference: str
    auc: Difference
    log_loss: Difference


@dataclass(frozen=True)
class KeptSlice:
    """Figures of a bin's rows by the model's name, and by metric."""

    by: str
    bin: str
    rows: int
    models: dict[str, dict[str, Figure]]


@dataclass(frozen=True)
class KeptEvaluation:
    """Models on the same rows, as ``evaluate`` found them.

    Attributes:
        file: where it is kept.
        written: seconds since 1970.
        rows: rows scored, ``of`` so many in the split; a ``subset`` when fewer.
        rows_hash: identity of the set of rows: figures of other rows are no figures to compare.
    """

    file: str
    written: float
    dataset: str
    split: str
    rows: int
    of: int
    subset: bool
    rows_hash: str
    seed: int
    confidence: float
    resamples: int
    reference: str
    models: list[KeptModel]
    differences: list[KeptDifference]
    slices: list[KeptSlice]


@dataclass(frozen=True)
class Kept:
    """Evaluations, oldest first, and the files that could not be read."""

    evaluations: list[KeptEvaluation]
    unreadable: list[str]


def read_all(workspace: Workspace, dataset: str) -> Kept:
    """Every evaluation of a dataset; damaged files are named, not raised."""
    found: list[KeptEvaluation] = []
    unreadable: list[str] = []
    for file in (workspace.dataset(dataset) / "evaluations").glob("*.json"):
        try:
            found.append(read(file))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            unreadable.append(str(file))
    return Kept(sorted(found, key=lambda one: (one.written, one.file)), sorted(unreadable))


def read(file: Path) -> KeptEvaluation:
    """One of them.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError: it is damaged.
    """
    told = json.loads(file.read_text(encoding="utf-8"))
    return KeptEvaluation(
        file=str(file),
        written=file.stat().st_mtime,
        dataset=str(told["dataset"]),
        split=str(told["split"]),
        rows=int(told["rows"]),
        of=int(told["of"]),
        subset=bool(told["subset"]),
        rows_hash=str(told["rows_hash"]),
        seed=int(told["seed"]),
        confidence=float(told["confidence"]),
        resamples=int(told.get("resamples", 0)),
        reference=str(told["reference"]),
        models=[_model(model) for model in told["models"]],
        differences=[
            KeptDifference(
                str(pair["model"]),
                str(pair["reference"]),
                read_difference(pair["auc"]),
                read_difference(pair["log_loss"]),
            )
            for pair in told["differences"]
        ],
        slices=[_slice(one) for one in told.get("slices", [])],
    )


def _model(told: Mapping[str, Any]) -> KeptModel:
    return KeptModel(
        name=str(told["name"]),
        kind=str(told["kind"]),
        method=str(told["method"]),
        identity=str(told["identity"]),
        figures=read_figures(told["all"]),
        base_rate=read_number(told["all"].get("base_rate")),
        seconds=float(told.get("seconds") or 0.0),
        calibration=[_bin(one) for one in told.get("calibration") or [] if one.get("rows")],
    )


def _slice(told: Mapping[str, Any]) -> KeptSlice:
    models = {str(name): read_figures(figures) for name, figures in told["models"].items()}
    return KeptSlice(str(told["by"]), str(told["bin"]), int(told["rows"]), models)


def _bin(told: Mapping[str, Any]) -> CalibrationBin:
    return CalibrationBin(**{one.name: told[one.name] for one in fields(CalibrationBin)})


def read_figures(told: Mapping[str, Any]) -> dict[str, Figure]:
    """The metrics among what is told: a value with an interval, or a bare number."""
    found = {}
    for name, of in told.items():
        if isinstance(of, Mapping) and "value" in of:
            found[name] = Figure(*(read_number(of.get(key)) for key in ("value", "low", "high")))
        elif isinstance(of, float) and name not in _NO_METRICS:
            found[name] = Figure(of, None, None)
    return found


def read_difference(told: Mapping[str, Any]) -> Difference:
    """A difference as ``evaluate`` writes it."""
    value, low, high, p = (read_number(told.get(key)) for key in ("value", "low", "high", "p"))
    p_delong, significant = read_number(told.get("p_delong")), bool(told.get("significant"))
    return Difference(value, low, high, p, p_delong, significant)


def read_number(value: Any) -> float | None:
    """A number, or ``None`` for null."""
    return None if value is None else float(value)
