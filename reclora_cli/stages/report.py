"""``reclora report``: everything that a workspace keeps, read and never computed.

Damaged or missing parts are named in ``notes``; the rest is reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np

from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.recipe import fingerprint
from reclora_cli.stages import (
    compare_runs,
    kept_ablations,
    kept_evaluations,
    kept_explanations,
    kept_next_evaluations,
    list_runs,
    runs,
    show_run,
)
from reclora_cli.stages.kept_ablations import KeptAblation
from reclora_cli.stages.kept_evaluations import Kept, KeptEvaluation
from reclora_cli.stages.kept_next_evaluations import KeptNext, KeptNextEvaluation
from reclora_cli.stages.list_runs import RunLine
from reclora_cli.stages.show_run import InputState
from reclora_cli.workspace import Artefact, Manifest, Workspace

CURVE_POINTS = 60
"""A training curve is thinned to so many points, each the mean of the steps it stands for."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class MadeArtefact:
    """An index or a sequence encoder that is finished."""

    name: str
    manifest: Manifest


@dataclass(frozen=True)
class Curve:
    """Points of a training: the middle step of each span, and its mean loss."""

    steps: list[float]
    losses: list[float]


@dataclass(frozen=True)
class ReportedCrm:
    """A CRM, with validation AUC by step as it was trained."""

    name: str
    manifest: Manifest
    steps: list[int]
    validation_auc: list[float]


@dataclass(frozen=True)
class GateWeights:
    """The average user's gate weights.

    Attributes:
        mean: (K,) over projections; ``sd`` its spread over users.
        by_layer: (layers, K); (1, K) of a gate that all projections share.
        users: of the run's shots.
    """

    mean: list[float]
    sd: list[float]
    by_layer: list[list[float]]
    users: int


@dataclass(frozen=True)
class ReportedRun:
    """A run.

    Attributes:
        ladder: the same for runs that differ in nothing but their shots; empty where unknown.
        gate: ``None`` where it has no gate.
        explained: the latest explanations that were asked of it.
    """

    line: RunLine
    manifest: Manifest | None
    inputs: list[InputState]
    ladder: str
    curve: Curve
    gate: GateWeights | None
    explained: list[kept_explanations.Told]


@dataclass(frozen=True)
class ReportedDataset:
    """A dataset and all that was made of it.

    Attributes:
        manifest: of the store; ``None`` where it is not there any more.
        identities: name -> identity of the finished CRMs, encoders and runs that lie there now;
            ``popularity`` has that of the sequences it is counted in.
        sequences: manifest of the task ``next``; ``None`` where none are prepared.
    """

    name: str
    manifest: Manifest | None
    indexes: list[MadeArtefact]
    crms: list[ReportedCrm]
    runs: list[ReportedRun]
    evaluations: list[KeptEvaluation]
    ablations: list[KeptAblation]
    identities: dict[str, str]
    sequences: Manifest | None
    encoders: list[MadeArtefact]
    evaluations_next: list[KeptNextEvaluation]


@dataclass(frozen=True)
class WorkspaceReport:
    """A workspace.

    Attributes:
        written: when this was read, ISO 8601 in UTC.
        notes: what could not be read, and is left out.
    """

    workspace: str
    written: str
    datasets: list[ReportedDataset]
    notes: list[str]


def run(workspace: Workspace) -> WorkspaceReport:
    """Read all of it.

    Raises:
        MissingInputError: the workspace holds nothing.
    """
    names = [*runs.datasets(workspace)]
    names = sorted({*names, *workspace.datasets()})
    if not names:
        raise MissingInputError(
            "nothing to report: this workspace is empty",
            where=str(workspace.root),
            hint="Run `reclora demo` or `reclora prepare ml-1m` first.",
        )
    notes: list[str] = []
    return WorkspaceReport(
        workspace=str(workspace.root.absolute()),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        datasets=[_dataset(workspace, name, notes) for name in names],
        notes=notes,
    )


def _dataset(workspace: Workspace, name: str, notes: list[str]) -> ReportedDataset:
    crms = _made(workspace.artefacts(name, "crm"), notes)
    tuned = workspace.artefacts(name, "runs")
    encoders = _made(workspace.artefacts(name, "encoders"), notes)
    finished = [*crms, *encoders, *_made(tuned, notes, quiet=True)]
    kept = kept_evaluations.read_all(workspace, name)
    kept_next = kept_next_evaluations.read_all(workspace, name)
    ablations, unread = kept_ablations.read_all(workspace, name)
    unreadable = (*kept.unreadable, *kept_next.unreadable, *unread)
    notes += [f"not readable: {file}" for file in unreadable]
    store = _made([workspace.store(name)], notes)
    sequences = _made([workspace.sequences(name)], notes)
    identities = {artefact.name: artefact.identity() for artefact, _ in finished}
    if sequences:
        identities["popularity"] = sequences[0][0].identity()
    return ReportedDataset(
        name=name,
        manifest=store[0][1] if store else None,
        indexes=[
            MadeArtefact(artefact.name, manifest)
            for artefact, manifest in _made(workspace.artefacts(name, "index"), notes)
        ],
        crms=[_crm(artefact, manifest, notes) for artefact, manifest in crms],
        runs=[_run(artefact, workspace, kept, kept_next, notes) for artefact in tuned],
        evaluations=kept.evaluations,
        ablations=ablations,
        identities=identities,
        sequences=sequences[0][1] if sequences else None,
        encoders=[MadeArtefact(artefact.name, manifest) for artefact, manifest in encoders],
        evaluations_next=kept_next.evaluations,
    )


def _made(
    artefacts: Sequence[Artefact], notes: list[str], *, quiet: bool = False
) -> list[tuple[Artefact, Manifest]]:
    """Those that are finished; damaged ones are noted."""
    found = []
    for artefact in artefacts:
        try:
            manifest = artefact.manifest()
        except RecloraError as error:
            if not quiet:
                notes.append(f"{error.where}: {error.what}")
            continue
        if manifest is not None:
            found.append((artefact, manifest))
    return found


def _crm(artefact: Artefact, manifest: Manifest, notes: list[str]) -> ReportedCrm:
    none: list[tuple[int, float]] = []
    passes = _lenient(lambda: _passes(artefact.path / "metrics.json"), none, notes)
    steps, aucs = [step for step, _ in passes], [auc for _, auc in passes]
    return ReportedCrm(artefact.name, manifest, steps, aucs)


def _passes(file: Path) -> list[tuple[int, float]]:
    """Validation passes of a CRM: step and AUC of all rows, where it is defined."""
    told = json.loads(file.read_text(encoding="utf-8"))
    found = [(int(one["step"]), one["all"]["auc"]) for one in told]
    return [(step, float(auc)) for step, auc in found if auc is not None]


def _run(
    artefact: Artefact, workspace: Workspace, kept: Kept, kept_next: KeptNext, notes: list[str]
) -> ReportedRun:
    recipe, manifest, state = list_runs.opened(artefact)
    if state == list_runs.UNREADABLE:
        notes.append(f"{artefact.path}: its recipe or manifest cannot be read")
    inputs = show_run.input_states(recipe, manifest, workspace) if recipe and manifest else []
    ladder = ""
    if recipe is not None:
        tree = compare_runs.deciding(recipe)
        finetune = {key: value for key, value in tree["finetune"].items() if key != "shots"}
        ladder = fingerprint(tree | {"finetune": finetune})
    return ReportedRun(
        line=list_runs.line(
            artefact, runs.dataset_of(artefact), kept.evaluations, kept_next.evaluations
        ),
        manifest=manifest,
        inputs=inputs,
        ladder=ladder,
        curve=_lenient(lambda: curve_of(artefact.path / "log.jsonl"), Curve([], []), notes),
        gate=_lenient(lambda: _gate(artefact), None, notes),
        explained=_lenient(lambda: kept_explanations.latest(artefact), [], notes),
    )


def curve_of(file: Path) -> Curve:
    """The losses of a log, thinned to ``CURVE_POINTS`` means over as many spans of steps.

    Raises:
        OSError, ValueError, KeyError, TypeError: the log is damaged.
    """
    if not file.is_file():
        return Curve([], [])
    lines = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
    told = [json.loads(line) for line in lines]
    points = [(int(one["step"]), float(one["loss"])) for one in told if "loss" in one]
    if not points:
        return Curve([], [])
    spans = np.array_split(np.array(points, dtype=np.float64), min(CURVE_POINTS, len(points)))
    means = [span.mean(axis=0) for span in spans]
    return Curve(
        [round(float(step), 1) for step, _ in means], [round(float(loss), 5) for _, loss in means]
    )


def _gate(artefact: Artefact) -> GateWeights | None:
    if not (artefact.path / "population.json").is_file():
        return None
    from reclora_cli.stages import gate_view, population  # brings torch

    average = population.read(artefact.path)
    config = json.loads((artefact.path / "adapter" / "adapter_config.json").read_text("utf-8"))
    names = list(config["projections"])
    shared = bool((average.mean == average.mean[0]).all())  # One gate steers all projections.
    by_layer = average.mean[:1] if shared else gate_view.by_layer(average.mean, names)
    return GateWeights(
        mean=[round(float(value), 6) for value in average.mean.mean(axis=0)],
        sd=[round(float(value), 6) for value in average.sd],
        by_layer=[[round(float(value), 5) for value in layer] for layer in by_layer],
        users=average.users,
    )


def _lenient(read: Callable[[], Found], otherwise: Found, notes: list[str]) -> Found:
    """What ``read`` gives; ``otherwise``, and a note, where a file is damaged."""
    try:
        return read()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        notes.append(str(error).replace("\n", " ") or type(error).__name__)
        return otherwise
