"""What an evaluation found: models on the same rows, their differences, and their slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from reclora_cli.metrics.compare import Difference, Figures
from reclora_cli.stages.break_downs import Slice


@dataclass(frozen=True)
class ModelResult:
    """One model on the rows.

    Attributes:
        kind: ``run``, ``crm`` or ``zero-shot``.
        all, seen_users, unseen_users: figures on every row, and on those whose user has a
            training row or has none.
        scored: rows scored now; the others were kept from before.
        seconds: what scoring all rows took, whenever that was.
        scores: Parquet file of the per-row scores.
    """

    name: str
    kind: str
    method: str
    identity: str
    all: Figures
    seen_users: Figures
    unseen_users: Figures
    scored: int
    seconds: float
    scores: str


@dataclass(frozen=True)
class PairResult:
    """``model`` minus ``reference`` on the same rows, with a paired test."""

    model: str
    reference: str
    auc: Difference
    log_loss: Difference


@dataclass(frozen=True)
class Planned:
    """What scoring a model would take.

    Attributes:
        to_score: rows without a kept score.
        seconds: extrapolated from a few rows scored just now.
    """

    name: str
    kind: str
    method: str
    to_score: int
    seconds: float


@dataclass(frozen=True)
class EvaluateResult:
    """Models on the same rows.

    Attributes:
        rows: rows scored, ``of`` so many in the split; ``subset`` when fewer.
        rows_hash: identity of the set of row ids.
        seed: of the subset and the bootstrap.
        differences: of every other model from ``reference``.
        plan: what a dry run predicts; else empty.
        up_to_date: every score was kept from before.
        slices: the rows by seen and unseen user and item, history length and item popularity.
        plot: picture of the slices, if one was asked for.
    """

    dataset: str
    split: str
    rows: int
    of: int
    subset: bool
    rows_hash: str
    seed: int
    resamples: int
    confidence: float
    reference: str
    models: list[ModelResult]
    differences: list[PairResult]
    plan: list[Planned]
    up_to_date: bool
    dry_run: bool
    seconds: float
    artefact: str
    slices: list[Slice] = field(default_factory=list)
    plot: str | None = None


def short_names(models: Sequence[ModelResult]) -> dict[str, str]:
    """What tables and pictures call each model, by its name.

    Its method where that tells it apart, else its own name.
    """
    methods = [model.method for model in models]
    return {
        model.name: model.method if methods.count(model.method) == 1 else model.name
        for model in models
    }
