"""The page itself: what a workspace keeps, laid out by ``page.html.j2``.

Every name and title is foreign text: the template escapes all but the charts made here. The page
loads nothing, and its Content-Security-Policy forbids that it could.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reclora_cli.cli.render import figures
from reclora_cli.cli.report import charts, next_rows
from reclora_cli.cli.report.explained import Explained, explained
from reclora_cli.cli.report.next_rows import SameCandidates
from reclora_cli.cli.report.rows import SameRows, groups
from reclora_cli.cli.report.svg import drawing
from reclora_cli.metrics.compare import Figure
from reclora_cli.stages.kept_ablations import KeptAblation
from reclora_cli.stages.report import ReportedCrm, ReportedDataset, ReportedRun, WorkspaceReport
from reclora_cli.workspace import Manifest, atomic_file, explain_os_errors


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written.

    Attributes:
        notes: what could not be read, and is left out.
    """

    file: str
    bytes: int
    datasets: int
    crms: int
    runs: int
    evaluations: int
    ablations: int
    notes: list[str]
    encoders: int = 0


@dataclass(frozen=True)
class _Chart:
    """A chart and the line below it."""

    svg: Markup
    note: str


@dataclass(frozen=True)
class _Rows:
    """A set of rows with its charts; ``low`` and ``high`` are where its AUC column begins and
    ends."""

    group: SameRows
    low: float
    high: float
    slices: _Chart | None
    calibration: _Chart | None

    def across(self, value: float) -> float:
        """Where a value stands in the AUC column, 0 to 100."""
        return round(100 * (value - self.low) / max(self.high - self.low, 1e-9), 2)


@dataclass(frozen=True)
class _Dataset:
    """A dataset with its charts."""

    found: ReportedDataset
    rows: list[_Rows]
    training: _Chart | None
    validation: _Chart | None
    shots: _Chart | None
    gates: list[tuple[str, _Chart]]
    explained: Explained
    next_rows: list[SameCandidates]


def write(report: WorkspaceReport, file: Path) -> WrittenReport:
    """Lay the report out and write it, whole or not at all.

    Raises:
        RecloraError: the file cannot be written.
    """
    text = render(report)
    content = text.encode("utf-8")
    with explain_os_errors(file), atomic_file(file) as stream:
        stream.write(content)
    datasets = report.datasets
    return WrittenReport(
        file=str(file),
        bytes=len(content),
        datasets=len(datasets),
        crms=sum(len(dataset.crms) for dataset in datasets),
        encoders=sum(len(dataset.encoders) for dataset in datasets),
        runs=sum(len(dataset.runs) for dataset in datasets),
        evaluations=sum(
            len(dataset.evaluations) + len(dataset.evaluations_next) for dataset in datasets
        ),
        ablations=sum(len(dataset.ablations) for dataset in datasets),
        notes=report.notes,
    )


def render(report: WorkspaceReport) -> str:
    """The report as one HTML page."""
    environment = Environment(
        loader=PackageLoader("reclora_cli.cli.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("count", "duration", "measure", "difference", "p_value", "size", "interval")
    environment.filters |= {name: getattr(figures, name) for name in names}
    environment.filters |= {"manifest": _manifest, "picture": _picture, "metric": _metric}
    with drawing():
        datasets = [_dataset(found, at) for at, found in enumerate(report.datasets)]
    style = environment.get_template("page.css").render()
    template = environment.get_template("page.html.j2")
    return template.render(
        report=report, datasets=datasets, style=Markup(style), of_next=next_rows.FIGURES
    ).lstrip()


def _dataset(found: ReportedDataset, at: int) -> _Dataset:
    tuned = [run for run in found.runs if run.curve.steps]
    trained = [crm for crm in found.crms if crm.steps]
    gated = [run for run in found.runs if run.gate is not None]
    told = [(run.line.name, one) for run in found.runs for one in run.explained]
    return _Dataset(
        found=found,
        rows=[_rows(group, f"d{at}r{which}") for which, group in enumerate(groups(found))],
        training=_training(tuned, f"d{at}t"),
        validation=_validation(trained, f"d{at}v"),
        shots=_shots(found.runs, f"d{at}s"),
        gates=[_gate(run, f"d{at}g{which}") for which, run in enumerate(gated)],
        explained=explained(told, f"d{at}e"),
        next_rows=next_rows.groups(found),
    )


def _rows(group: SameRows, name: str) -> _Rows:
    every = [model.figures["auc"] for model in group.models if "auc" in model.figures]
    ends = [end for auc in every for end in (auc.value, auc.low, auc.high) if end is not None]
    shown = group.models[: charts.SERIES]
    calibrated = [model for model in shown if model.calibration]
    left_out = _left_out(len(shown), len(group.models), "models of the best AUC")
    slices = calibration = None
    if group.bins and shown:
        note = f"{group.confidence:.0%} intervals; bins of few rows may leave a panel.{left_out}"
        slices = _Chart(charts.slices(group, shown, f"{name}s"), note)
    if calibrated:
        svg = charts.calibration(calibrated, group.labels, f"{name}c")
        calibration = _Chart(svg, f"On the dotted line P(yes) is the share of likes.{left_out}")
    return _Rows(group, min(ends, default=0.0), max(ends, default=1.0), slices, calibration)


def _training(runs: Sequence[ReportedRun], name: str) -> _Chart | None:
    if not runs:
        return None
    shown = runs[-charts.SERIES :]
    note = f"Each point is a mean over steps.{_left_out(len(shown), len(runs), 'newest runs')}"
    return _Chart(charts.training(shown, name), note)


def _validation(crms: Sequence[ReportedCrm], name: str) -> _Chart | None:
    if not crms:
        return None
    shown = crms[-charts.SERIES :]
    return _Chart(
        charts.validation(shown, name),
        f"All validation rows.{_left_out(len(shown), len(crms), 'newest CRMs')}",
    )


def _shots(runs: Sequence[ReportedRun], name: str) -> _Chart | None:
    """AUC by shots, of runs that share all but their shots and were scored on the same rows."""
    by_ladder: dict[tuple[str, str], list[tuple[int, Figure]]] = {}
    labels: dict[tuple[str, str], str] = {}
    for run in runs:
        line = run.line
        if run.ladder and line.test and line.shots and line.test.auc.value is not None:
            key = (run.ladder, line.test.rows_hash)
            by_ladder.setdefault(key, []).append((line.shots, line.test.auc))
            labels[key] = f"{line.method}, seed {line.seed}, n {figures.count(line.test.rows)}"
    kept = {key: sorted(points, key=_by_shots) for key, points in by_ladder.items()}
    ladders = {
        f"{labels[key]} ({key[0][:4]})": points for key, points in kept.items() if len(points) > 1
    }
    if not ladders:
        return None
    shown = dict(list(ladders.items())[-charts.SERIES :])
    note = "Runs that differ in their shots alone, on the same test rows."
    return _Chart(charts.shots(shown, name), note)


def _by_shots(point: tuple[int, Figure]) -> int:
    return point[0]


def _gate(run: ReportedRun, name: str) -> tuple[str, _Chart]:
    assert run.gate is not None, "asked of runs with a gate"
    note = (
        f"Mean over {figures.count(run.gate.users)} users of the shots, spread over users; "
        "dotted: an even mixture."
    )
    return run.line.name, _Chart(charts.gates(run.gate, name), note)


def _left_out(shown: int, all_: int, which: str) -> str:
    return "" if shown == all_ else f" The {shown} {which} of {all_}."


def _manifest(manifest: Manifest) -> str:
    return json.dumps(asdict(manifest), indent=1, ensure_ascii=False)


def _picture(ablation: KeptAblation) -> list[str]:
    """Its figures as data addresses: as pictures they can run nothing and load nothing."""
    found = []
    for file in ablation.figures:
        content = base64.b64encode(Path(file).read_bytes()).decode("ascii")
        found.append(f"data:image/svg+xml;base64,{content}")
    return found


__all__ = ["WrittenReport", "render", "write"]


def _metric(name: str) -> str:
    """A metric as a column's head."""
    return {"ece": "ECE", "user_auc": "user-AUC"}.get(name, name.replace("_", " "))
