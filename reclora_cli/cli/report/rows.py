"""Kept evaluations, gathered by the rows that were scored: only those may stand side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reclora_cli.metrics.compare import Figure
from reclora_cli.stages.break_downs import BY_SHOTS
from reclora_cli.stages.kept_evaluations import KeptEvaluation, KeptModel
from reclora_cli.stages.report import ReportedDataset


@dataclass(frozen=True)
class Bin:
    """One bin of a break-down, with the AUC of every model of the group that has one."""

    by: str
    bin: str
    rows: int
    auc: dict[str, Figure]


@dataclass(frozen=True)
class SameRows:
    """Everything known of one set of rows.

    Attributes:
        models: as last evaluated, of what lies in the workspace now; best AUC first.
        earlier: of artefacts that were since removed or made anew, likewise.
        labels: what each of ``models`` is called, by name.
        metrics: that ``models`` have beside AUC, LogLoss and accuracy.
        evaluations: that compare two or more of ``models``, the newest first.
        earlier_evaluations: with some of ``earlier`` among their models, likewise.
    """

    split: str
    rows: int
    of: int
    subset: bool
    rows_hash: str
    confidence: float
    base_rate: float | None
    models: list[KeptModel]
    earlier: list[KeptModel]
    labels: dict[str, str]
    metrics: list[str]
    bins: list[Bin]
    evaluations: list[KeptEvaluation]
    earlier_evaluations: list[KeptEvaluation]


_ALWAYS = ("auc", "log_loss", "accuracy")


def groups(dataset: ReportedDataset) -> list[SameRows]:
    """Sets of rows on which something was evaluated, those with tuned runs first."""
    by_rows: dict[tuple[str, str], list[KeptEvaluation]] = {}
    for evaluation in dataset.evaluations:
        by_rows.setdefault((evaluation.split, evaluation.rows_hash), []).append(evaluation)
    found = [_group(evaluations, dataset.identities) for evaluations in by_rows.values()]
    return sorted(found, key=lambda one: (-_runs(one), -one.rows))


def _group(evaluations: Sequence[KeptEvaluation], identities: Mapping[str, str]) -> SameRows:
    last = evaluations[-1]
    known = {(m.name, m.identity): m for one in evaluations for m in one.models}
    ranked = sorted(known.values(), key=_rank)
    models = [model for model in ranked if _current(model, identities)]
    names = {model.name for model in models}
    methods = [model.method for model in models]
    comparing = [one for one in reversed(evaluations) if one.differences]
    current = [one for one in comparing if all(_current(m, identities) for m in one.models)]
    unique = {m.name: m.method if methods.count(m.method) == 1 else m.name for m in models}
    return SameRows(
        split=last.split,
        rows=last.rows,
        of=last.of,
        subset=last.subset,
        rows_hash=last.rows_hash,
        confidence=last.confidence,
        base_rate=last.models[0].base_rate if last.models else None,
        models=models,
        earlier=[model for model in ranked if not _current(model, identities)],
        labels=unique,
        metrics=sorted({key for model in models for key in model.figures} - {*_ALWAYS}),
        bins=_bins(evaluations, identities, names),
        evaluations=current,
        earlier_evaluations=[one for one in comparing if one not in current],
    )


def _bins(
    evaluations: Sequence[KeptEvaluation], identities: Mapping[str, str], names: set[str]
) -> list[Bin]:
    """Bins in their own order; later evaluations of a model take the place of earlier ones.

    Those by shots are left out: each evaluation has them of its own runs' shots.
    """
    found: dict[tuple[str, str], Bin] = {}
    for evaluation in evaluations:
        current = {model.name for model in evaluation.models if _current(model, identities)}
        for one in [of for of in evaluation.slices if of.by != BY_SHOTS]:
            kept = found.setdefault((one.by, one.bin), Bin(one.by, one.bin, one.rows, {}))
            for name in current & names & one.models.keys():
                if "auc" in one.models[name]:
                    kept.auc[name] = one.models[name]["auc"]
    return [one for one in found.values() if one.auc]


def _current(model: KeptModel, identities: Mapping[str, str]) -> bool:
    """An untuned LM has no artefact that could have changed."""
    return model.kind == "zero-shot" or identities.get(model.name) == model.identity


def _rank(model: KeptModel) -> tuple[float, str]:
    auc = model.figures["auc"].value if "auc" in model.figures else None
    return (-auc if auc is not None else 1.0, model.name)


def _runs(group: SameRows) -> int:
    return sum(model.kind == "run" for model in group.models)
