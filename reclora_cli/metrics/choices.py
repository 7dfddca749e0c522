"""Answers that an LM gave in words: which candidate they name, and how often it is the truth.

An answer names a candidate if both read the same after ``normalised``; one that names none is
invalid. ``HitRatio@1`` is told over all rows (an invalid answer misses) and over the rows with a
valid answer, which is what LLaRA (Liao et al. 2024, arXiv 2312.02445) publishes beside the share of
valid answers, ``ValidRatio``. LLaRA's own code is more lenient than this: an answer is valid there
if exactly one candidate's title, in lower case, stands anywhere in it.

Two candidates may read the same. A row where some do is counted as ambiguous; where the *answer*
names m of them, and the truth is among these, it counts as 1/m of a hit.

Shapes: n rows, C candidates.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reclora_cli.errors import RecloraError
from reclora_cli.metrics.intervals import Draw, bootstrap, interval
from reclora_cli.metrics.rows import Floats

_QUOTES = "`´¨"
"""Marks used as quotes that Unicode does not class as punctuation."""


def normalised(title: str) -> str:
    """A title as it is compared: NFKC, case folded, white space collapsed, bare at both ends.

    Punctuation and quotes at the ends go (``"Heat."`` is ``heat``), but those within stay, and a
    title that is nothing else (``!!!``) stays whole.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", title).casefold())
    text = " ".join(folded.split())
    kept = [at for at, letter in enumerate(text) if not _strippable(letter)]
    return text[kept[0] : kept[-1] + 1] if kept else text


def _strippable(letter: str) -> bool:
    return letter.isspace() or letter in _QUOTES or unicodedata.category(letter).startswith("P")


@dataclass(frozen=True)
class RowFigure:
    """A figure of n rows as a share: the sum of ``values`` over the sum of ``counted``.

    Attributes:
        values: (n,), 0 where a row does not count.
        counted: (n,) 1 where a row counts, else 0.
    """

    values: Floats
    counted: Floats

    @classmethod
    def mean(cls, values: ArrayLike) -> RowFigure:
        """Of one value a row, all of which count (see ``ranking.by_row``)."""
        found = np.asarray(values, dtype=np.float64)
        return cls(found, np.ones(len(found)))

    @property
    def value(self) -> float | None:
        """``None`` where no row counts."""
        rows = float(self.counted.sum())
        return float(self.values.sum()) / rows if rows else None


class ResampledShare:
    """A ``RowFigure`` over the rows drawn; NaN where none of those counts."""

    def __init__(self, figure: RowFigure) -> None:
        self._values, self._counted = figure.values, figure.counted

    def __call__(self, draw: Draw) -> float:
        rows = float(np.einsum("n,n->", draw.weights, self._counted))
        return float(np.einsum("n,n->", draw.weights, self._values)) / rows if rows else np.nan


@dataclass(frozen=True)
class Named:
    """What n answers name.

    Attributes:
        hits: (n,) 1 where the truth is named, 1/m where it is one of m that read the same, else 0.
        matches: (n,) candidates that the answer names; 0 where it is invalid.
        ambiguous: (n,) whether two of the row's candidates read the same.
    """

    hits: Floats
    matches: NDArray[np.int64]
    ambiguous: NDArray[np.bool_]

    @cached_property
    def by_row(self) -> Mapping[str, RowFigure]:
        """The figures by name: ``hit_ratio@1``, ``hit_ratio@1_valid``, ``valid_ratio``."""
        valid = (self.matches > 0).astype(np.float64)
        return {
            "hit_ratio@1": RowFigure.mean(self.hits),
            "hit_ratio@1_valid": RowFigure(self.hits, valid),
            "valid_ratio": RowFigure.mean(valid),
        }


def named(said: Sequence[str], titles: Sequence[Sequence[str]], truth: ArrayLike) -> Named:
    """Hold n answers against their candidates.

    Args:
        said: what the LM answered, decoded.
        titles: the C candidates' titles of each row.
        truth: (n,) index of the true candidate.

    Raises:
        RecloraError: lengths do not fit, or an index is none of a row's candidates.
    """
    true = np.asarray(truth, dtype=np.int64)
    if true.shape != (len(said),) or len(titles) != len(said):
        raise RecloraError(
            f"{len(said)} answers, {len(titles)} rows of candidates and truths of shape "
            f"{true.shape} do not fit"
        )
    hits, matches = np.zeros(len(said)), np.zeros(len(said), dtype=np.int64)
    ambiguous = np.zeros(len(said), dtype=bool)
    for row, (answer, own) in enumerate(zip(said, titles, strict=True)):
        if not 0 <= true[row] < len(own):
            raise RecloraError(f"the truth of row {row} is none of its {len(own)} candidates")
        read = [normalised(title) for title in own]
        ambiguous[row] = len(set(read)) < len(read)
        words = normalised(answer)
        matches[row] = read.count(words) if words else 0
        if matches[row] and read[true[row]] == words:
            hits[row] = 1 / matches[row]
    return Named(hits, matches, ambiguous)


@dataclass(frozen=True)
class Generated:
    """The figures of n answers; ``intervals`` by the same names as ``Named.by_row``.

    Attributes:
        valid: answers that name a candidate.
        ambiguous: rows of whose candidates two read the same.
        ambiguous_answers: answers that name several candidates.
    """

    n: int
    valid: int
    ambiguous: int
    ambiguous_answers: int
    figures: dict[str, float | None]
    intervals: dict[str, tuple[float, float] | None]


def generated(
    found: Named, *, resamples: int, confidence: float, stream: np.random.Generator
) -> Generated:
    """Every figure of ``found``, with a percentile-bootstrap interval over rows.

    Resamples without a valid answer leave HitRatio@1 over valid undefined and are left out of its
    interval.
    """
    per_row = found.by_row
    samples = bootstrap(
        [ResampledShare(figure) for figure in per_row.values()], len(found.hits), resamples, stream
    )
    return Generated(
        n=len(found.hits),
        valid=int(np.count_nonzero(found.matches)),
        ambiguous=int(found.ambiguous.sum()),
        ambiguous_answers=int((found.matches > 1).sum()),
        figures={name: figure.value for name, figure in per_row.items()},
        intervals={name: interval(samples[:, at], confidence) for at, name in enumerate(per_row)},
    )
