"""What an evaluation found: models on the same rows, their differences, and their slices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from reclora_cli.metrics.calibration import CalibrationBin
from reclora_cli.metrics.compare import Difference, Figures
from reclora_cli.metrics.over_seeds import Spread
from reclora_cli.stages.break_downs import Slice

_FINGERPRINT = re.compile(r"-[0-9a-f]{8}$")
"""What the name of a run or a CRM ends in (see ``stages.locate``)."""


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
        calibration: of all rows, bin by bin of P(yes).
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
    calibration: list[CalibrationBin]


@dataclass(frozen=True)
class PairResult:
    """``model`` minus ``reference`` on the same rows, with a paired test.

    Attributes:
        relative: RelImpr, AUC of ``model`` over that of ``reference``, less 1; a fraction.
    """

    model: str
    reference: str
    auc: Difference
    log_loss: Difference
    relative: float | None


@dataclass(frozen=True)
class SeedsResult(Spread):
    """Models that differ in their seed alone.

    Attributes:
        models: their names, in the order of ``seeds``.
    """

    method: str
    models: list[str]


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
        slices: the rows by seen and unseen user and item, history length and item popularity, and
            by whether the LM has seen the user.
        seeds: mean and spread of models that differ in their seed alone; often none.
        plot: picture of the slices and of calibration, if one was asked for.
        saved: files that hold the result, or tables of it, where they were asked for.
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
    seeds: list[SeedsResult] = field(default_factory=list)
    plot: str | None = None
    saved: list[str] = field(default_factory=list)


def short_names(models: Sequence[ModelResult]) -> dict[str, str]:
    """What tables and pictures call each model, by its name.

    Its method where that tells it apart, else its name without the fingerprint, else its name.
    """
    methods = [model.method for model in models]
    bare = [_FINGERPRINT.sub("", model.name) for model in models]
    return {
        model.name: next(
            (told[at] for told in (methods, bare) if told.count(told[at]) == 1), model.name
        )
        for at, model in enumerate(models)
    }
