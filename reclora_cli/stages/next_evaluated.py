"""What an evaluation of the task ``next`` found: models on the same rows, and their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reclora_cli.metrics.choices import Named, RowFigure, generated, named
from reclora_cli.metrics.choices_paired import difference
from reclora_cli.metrics.compare import Difference, Figure
from reclora_cli.metrics.mcnemar import McNemar, mcnemar
from reclora_cli.metrics.ranking import by_row, ranking, truth_ranks
from reclora_cli.recipe.tree import EvaluateRecipe
from reclora_cli.scoring.choice_files import Choices
from reclora_cli.seeding import numpy_stream

SAID = "said_"
"""How the names of figures begin that are of answers in words, not of a ranking."""


@dataclass(frozen=True)
class NextModelResult:
    """One model on the rows.

    Attributes:
        kind: ``run``, ``encoder``, ``zero-shot`` or ``popularity``.
        figures: ``hit_ratio@1``, ``ndcg@5`` and ``mrr`` of its ranking; of a model that answers in
            words also ``said_hit_ratio@1``, ``said_hit_ratio@1_valid`` and ``said_valid_ratio``.
        ambiguous: rows of whose candidates two have the same title.
        ambiguous_answers: answers that name several candidates; ``None`` without words.
        scored: rows scored now; the others were kept from before.
        seconds: what scoring all rows took, whenever that was.
    """

    name: str
    kind: str
    method: str
    identity: str
    figures: dict[str, Figure]
    ambiguous: int
    ambiguous_answers: int | None
    scored: int
    seconds: float
    scores: str


@dataclass(frozen=True)
class NextPair:
    """``model`` minus ``reference`` on the same rows.

    Attributes:
        figures: by the names that both have.
        mcnemar: exact test of the rankings' HR@1.
    """

    model: str
    reference: str
    figures: dict[str, Difference]
    mcnemar: McNemar


@dataclass(frozen=True)
class NextPlanned:
    """What scoring a model would take; ``seconds`` from a few rows scored just now."""

    name: str
    kind: str
    method: str
    to_score: int
    seconds: float


@dataclass(frozen=True)
class EvaluateNextResult:
    """Models on the same rows and candidates.

    Attributes:
        rows: rows scored, ``of`` so many in the split; ``subset`` when fewer.
        candidates: of each row; ``chance``: HR@1 of a blind choice.
        candidates_sha256: of the split's kept candidates.
        unseen_targets: rows whose truth is in no training row.
        differences: of every other model from ``reference``.
        plan: what a dry run predicts; else empty.
    """

    dataset: str
    split: str
    rows: int
    of: int
    subset: bool
    rows_hash: str
    candidates: int
    chance: float
    candidates_sha256: str
    unseen_targets: int
    seed: int
    resamples: int
    confidence: float
    reference: str
    models: list[NextModelResult]
    differences: list[NextPair]
    up_to_date: bool
    dry_run: bool
    seconds: float
    artefact: str
    plan: list[NextPlanned] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)


class Measured:
    """One model's scores and words, row by row.

    Args:
        truth: (n,) where the target stands among the candidates.
        titles: of the C candidates of each row.
    """

    def __init__(
        self, found: Choices, truth: NDArray[np.int64], titles: Sequence[Sequence[str]]
    ) -> None:
        self._found, self._truth = found, truth
        self._titles = titles
        self.words: Named | None = None
        if found.said is not None:
            self.words = named(found.said, titles, truth)

    @property
    def rows(self) -> Mapping[str, RowFigure]:
        """Every figure by name, row by row."""
        ranks = truth_ranks(self._found.scores, self._truth)
        ranked = {name: RowFigure.mean(values) for name, values in by_row(ranks).items()}
        said = self.words.by_row if self.words else {}
        return ranked | {f"{SAID}{name}": figure for name, figure in said.items()}

    def figures(self, settings: EvaluateRecipe, seed: int) -> dict[str, Figure]:
        """Every figure by name, with its interval."""
        how = {"resamples": settings.resamples, "confidence": settings.confidence}
        # Each model is read under the same resamples of rows.
        ranked = ranking(
            self._found.scores,
            self._truth,
            stream=numpy_stream(seed, "ranking bootstrap"),
            **how,  # type: ignore[arg-type]
        )
        found = _figures(ranked.figures, ranked.intervals)
        if self.words:
            stream = numpy_stream(seed, "words bootstrap")
            said = generated(self.words, stream=stream, **how)  # type: ignore[arg-type]
            of_words = _figures(said.figures, said.intervals)
            found |= {f"{SAID}{name}": figure for name, figure in of_words.items()}
        return found


def pair(
    names: tuple[str, str], ours: Measured, theirs: Measured, settings: EvaluateRecipe, seed: int
) -> NextPair:
    """``ours`` minus ``theirs``; every figure that both have."""
    one, other = ours.rows, theirs.rows
    return NextPair(
        model=names[0],
        reference=names[1],
        figures={
            name: difference(
                one[name],
                other[name],
                resamples=settings.resamples,
                confidence=settings.confidence,
                stream=numpy_stream(seed, "paired bootstrap", name),
            )
            for name in one
            if name in other
        },
        mcnemar=mcnemar(one["hit_ratio@1"].values, other["hit_ratio@1"].values),
    )


def _figures(
    values: Mapping[str, float | None], intervals: Mapping[str, tuple[float, float] | None]
) -> dict[str, Figure]:
    return {
        name: Figure(value, *(intervals[name] or (None, None))) for name, value in values.items()
    }
