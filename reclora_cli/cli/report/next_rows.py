"""Kept evaluations of the task ``next``, gathered by the rows and candidates they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reclora_cli.stages.kept_next_evaluations import KeptNextEvaluation, KeptNextModel
from reclora_cli.stages.report import ReportedDataset

FIGURES = {
    "hit_ratio@1": "HR@1",
    "ndcg@5": "NDCG@5",
    "mrr": "MRR",
    "said_hit_ratio@1": "HR@1 in words",
    "said_hit_ratio@1_valid": "of valid",
    "said_valid_ratio": "ValidRatio",
}
"""Columns: by likelihood, then of answers in words."""


@dataclass(frozen=True)
class SameCandidates:
    """Everything known of one set of rows and their candidates.

    Attributes:
        last: the newest evaluation of them.
        models: as last evaluated, of what lies in the workspace now; best HR@1 first.
        earlier: of artefacts that were since removed or made anew, likewise.
        evaluations: with differences between ``models``, the newest first.
    """

    last: KeptNextEvaluation
    models: list[KeptNextModel]
    earlier: list[KeptNextModel]
    evaluations: list[KeptNextEvaluation]


def groups(dataset: ReportedDataset) -> list[SameCandidates]:
    """Sets of rows on which something was evaluated, those of most rows first."""
    by_rows: dict[tuple[str, str, str], list[KeptNextEvaluation]] = {}
    for one in dataset.evaluations_next:
        key = (one.split, one.rows_hash, one.candidates_sha256)
        by_rows.setdefault(key, []).append(one)
    found = [_group(evaluations, dataset.identities) for evaluations in by_rows.values()]
    return sorted(found, key=lambda one: -one.last.rows)


def _group(
    evaluations: Sequence[KeptNextEvaluation], identities: Mapping[str, str]
) -> SameCandidates:
    known = {(model.name, model.identity): model for one in evaluations for model in one.models}
    ranked = sorted(known.values(), key=_best)
    comparing = [one for one in reversed(evaluations) if one.differences]
    return SameCandidates(
        last=evaluations[-1],
        models=[model for model in ranked if _current(model, identities)],
        earlier=[model for model in ranked if not _current(model, identities)],
        evaluations=[
            one for one in comparing if all(_current(model, identities) for model in one.models)
        ],
    )


def _current(model: KeptNextModel, identities: Mapping[str, str]) -> bool:
    """An untuned LM has no artefact that could have changed."""
    return model.kind == "zero-shot" or identities.get(model.name) == model.identity


def _best(model: KeptNextModel) -> tuple[float, str]:
    found = model.figures.get("hit_ratio@1")
    value = found.value if found else None
    return (1.0 if value is None else -value, model.name)
