"""What a workspace holds, read from its manifests, and the command that comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reclora_cli.errors import RecloraError
from reclora_cli.metrics.compare import Figure
from reclora_cli.stages import kept_evaluations, kept_next_evaluations, runs
from reclora_cli.workspace import Artefact, Workspace

FINISHED, UNFINISHED, UNREADABLE = "finished", "unfinished", "unreadable"


AUC, HR = "AUC", "HR@1"


@dataclass(frozen=True)
class KeptFigure:
    """The newest kept figure of an artefact on test rows.

    Attributes:
        figure: an AUC, or HR@1 by ranking of the task ``next``: ``metric`` says which.
        rows: rows scored, ``rows_hash`` their identity: figures of other rows are not comparable.
    """

    figure: Figure
    rows: int
    rows_hash: str
    metric: str = AUC


@dataclass(frozen=True)
class Holding:
    """One artefact.

    Attributes:
        kind: ``dataset``, ``index``, ``crm`` or ``run``; of the task ``next`` ``sequences`` or
            ``encoder``.
        state: ``finished``, ``unfinished`` or ``unreadable``.
        written: when it was finished, ISO 8601; empty otherwise.
        figures: what its stage noted in the manifest.
        test: of a run or CRM that was evaluated since it was made; ``None`` otherwise.
        best: it has the highest test AUC of its kind, among those scored on the same rows; of
            several such sets of rows, on that which most were scored on.
        step: of an interrupted run, the step it goes on from; 0 otherwise.
    """

    kind: str
    name: str
    dataset: str
    state: str
    written: str
    figures: dict[str, Any]
    test: KeptFigure | None = None
    best: bool = False
    step: int = 0


@dataclass(frozen=True)
class NextStep:
    """A command that goes on from here, and what for."""

    command: str
    why: str


@dataclass(frozen=True)
class Overview:
    """What the workspace holds.

    Attributes:
        holdings: datasets, each followed by its indexes, CRMs and runs, oldest first.
        next_command: what brings the last prepared dataset one stage on.
        next_steps: it first, then what else there is to do.
    """

    workspace: str
    holdings: list[Holding]
    next_command: str
    next_steps: list[NextStep]


_KINDS = {"index": "index", "crm": "crm", "runs": "run", "encoders": "encoder"}
_MOST_STEPS = 4


def look(workspace: Workspace) -> Overview:
    """Read every manifest below ``workspace``; damaged ones are shown as such, not raised."""
    holdings: list[Holding] = []
    datasets = workspace.datasets()
    for dataset in datasets:
        holdings += _prepared(workspace, dataset)
        known = _test_figures(workspace, dataset)
        for folder, kind in _KINDS.items():
            found = workspace.artefacts(dataset, folder)
            of_kind = [_holding(kind, dataset, artefact, known) for artefact in found]
            holdings += _with_best(of_kind)
    current = datasets[-1] if datasets else None
    steps = _steps(holdings, current)
    return Overview(str(workspace.root), holdings, steps[0].command, steps)


def _prepared(workspace: Workspace, dataset: str) -> list[Holding]:
    """The interactions, the sequences, or both."""
    both = {"dataset": workspace.store(dataset), "sequences": workspace.sequences(dataset)}
    made = {kind: artefact for kind, artefact in both.items() if artefact.path.is_dir()}
    return [_holding(kind, dataset, artefact, {}) for kind, artefact in made.items()]


def _holding(
    kind: str, dataset: str, artefact: Artefact, known: Mapping[str, KeptFigure]
) -> Holding:
    name = dataset if kind in {"dataset", "sequences"} else artefact.name
    try:
        manifest = artefact.manifest()
    except RecloraError:
        return Holding(kind, name, dataset, UNREADABLE, "", {})
    if manifest is None:
        step = runs.step_reached(artefact) if kind == "run" else 0
        return Holding(kind, name, dataset, UNFINISHED, "", {}, step=step)
    test = known.get(artefact.identity())
    return Holding(kind, name, dataset, FINISHED, manifest.written, manifest.figures, test)


def _test_figures(workspace: Workspace, dataset: str) -> dict[str, KeptFigure]:
    """Identity of an artefact -> its newest figure on test rows."""
    rated = kept_evaluations.read_all(workspace, dataset).evaluations
    ranked = kept_next_evaluations.read_all(workspace, dataset).evaluations
    return {
        model.identity: KeptFigure(
            model.figures[name], evaluation.rows, evaluation.rows_hash, metric
        )
        for name, metric, evaluations in (("auc", AUC, rated), ("hit_ratio@1", HR, ranked))
        for evaluation in evaluations
        for model in evaluation.models
        if evaluation.split == "test" and name in model.figures
    }


def _with_best(holdings: list[Holding]) -> list[Holding]:
    """Mark the best of those that were scored on the same rows, if they are two at least."""
    scored = Counter(one.test.rows_hash for one in holdings if one.test)
    [(rows, times)] = scored.most_common(1) or [("", 0)]
    values = {
        one.name: one.test.figure.value
        for one in holdings
        if one.test and one.test.rows_hash == rows and one.test.figure.value is not None
    }
    if times < 2 or not values:
        return holdings
    top = max(values, key=lambda name: values[name])
    return [replace(one, best=one.name == top) for one in holdings]


def _steps(holdings: list[Holding], dataset: str | None) -> list[NextStep]:
    if dataset is None:
        return [
            NextStep("reclora demo", "the whole path on MovieLens-100K, in minutes"),
            NextStep("reclora prepare ml-1m", "begins with MovieLens-1M"),
        ]
    of_dataset = [holding for holding in holdings if holding.dataset == dataset]
    steps = [_stage(of_dataset, dataset)]
    if any(one.state == UNREADABLE for one in holdings):
        steps.append(NextStep("reclora doctor", "something here is damaged; it says what mends it"))
    began = [one for one in of_dataset if one.kind == "run" and one.step]
    if began:
        told = f"goes on with an interrupted run, at step {began[-1].step:,}"
        steps.append(NextStep(f"reclora finetune --from-run {began[-1].name}", told))
    done = [one for one in of_dataset if one.kind == "run" and one.state == FINISHED]
    if len(done) > 1 and done[-1].test is None:
        few = " --rows 1000" if any(one.kind == "dataset" for one in of_dataset) else ""
        command = f"reclora evaluate --run {done[-1].name}{few}"
        steps.append(NextStep(command, "the newest run was not scored yet"))
    if any(one.test for one in holdings):
        steps.append(NextStep("reclora report", "all figures as one HTML page"))
    return list({step.command: step for step in steps}.values())[:_MOST_STEPS]


def _stage(of_dataset: list[Holding], dataset: str) -> NextStep:
    """The stage that the dataset lacks first."""
    finished = {holding.kind for holding in of_dataset if holding.state == FINISHED}
    if "dataset" not in finished:
        if "run" in finished:
            command = f"reclora evaluate --recipe {dataset}"
            return NextStep(command, "the last run beside its encoder, among candidates")
        if "encoder" in finished:
            return NextStep(f"reclora finetune --recipe {dataset}", "tunes the LM on a few rows")
        told = "trains the encoder that guides the experts"
        return NextStep(f"reclora pretrain-crm --recipe {dataset}", told)
    for kind, command, told in (
        ("index", "build-index", "vectors of all items, ranked behaviours of every row"),
        ("crm", "pretrain-crm", "trains the model that guides the experts"),
        ("run", "finetune --shots 1024", "tunes the experts; --dry-run tells what it takes"),
    ):
        if kind not in finished:
            return NextStep(f"reclora {command}", told)
    return NextStep("reclora evaluate --rows 1000", "the last run beside its CRM, with intervals")
