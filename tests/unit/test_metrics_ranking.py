"""HitRatio@k, NDCG@k and MRR on a table worked by hand.

row  scores              truth  rank  HR@1  HR@2  NDCG@2        1/rank
0    .9 .1 .2 .3         0      1     1     1     1             1
1    .9 .1 .2 .3         2      3     0     0     0             1/3
2    .5 .5 .2 .3         1      2     0     1     1/log2(3)     1/2   (ties stand before)
3    .4 .4 .4 .4         0      4     0     0     0             1/4
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from reclora_cli.errors import RecloraError
from reclora_cli.metrics import ranking
from reclora_cli.seeding import numpy_stream

SCORES = np.array(
    [[0.9, 0.1, 0.2, 0.3], [0.9, 0.1, 0.2, 0.3], [0.5, 0.5, 0.2, 0.3], [0.4, 0.4, 0.4, 0.4]]
)
TRUTH = np.array([0, 2, 1, 0])
RANKS = [1, 3, 2, 4]


def test_a_truth_stands_behind_all_that_score_higher_or_the_same() -> None:
    assert ranking.truth_ranks(SCORES, TRUTH).tolist() == RANKS


def test_hit_ratio_counts_truths_among_the_first_k() -> None:
    assert ranking.hits(RANKS, 1).tolist() == [1, 0, 0, 0]
    assert ranking.hits(RANKS, 2).tolist() == [1, 0, 1, 0]


def test_ndcg_discounts_by_the_logarithm_of_the_place() -> None:
    assert ranking.gains(RANKS, 2) == pytest.approx([1, 0, 1 / math.log2(3), 0])


def test_the_figures_are_the_means_over_rows() -> None:
    found = ranking.figures(RANKS)
    assert found["hit_ratio@1"] == 0.25
    assert found["ndcg@5"] == pytest.approx((1 + 0.5 + 1 / math.log2(3) + 1 / math.log2(5)) / 4)
    assert found["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 2 + 1 / 4) / 4)


def test_a_model_that_scores_all_alike_hits_nothing() -> None:
    found = ranking.figures(ranking.truth_ranks(np.zeros((5, 20)), np.arange(5)))
    assert found["hit_ratio@1"] == 0
    assert found["mrr"] == 1 / 20


def test_intervals_hold_the_figure_and_narrow_with_rows() -> None:
    stream = np.random.default_rng(0)
    widths = []
    for rows in (50, 800):
        scores = stream.random((rows, 20))
        truth = stream.integers(0, 20, rows)
        found = ranking.ranking(
            scores, truth, resamples=200, confidence=0.95, stream=numpy_stream(0, "test")
        )
        low, high = found.intervals["mrr"] or (1.0, 0.0)
        assert low <= (found.figures["mrr"] or 0) <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    assert found.n == 800
    assert found.chance == 0.05


def test_no_rows_have_no_figure() -> None:
    none = ranking.ranking(
        np.zeros((0, 20)), [], resamples=5, confidence=0.95, stream=numpy_stream(0, "test")
    )
    assert none.n == 0
    assert set(none.figures.values()) == {None} == set(none.intervals.values())


@pytest.mark.parametrize(
    ("scores", "truth", "what"),
    [
        (SCORES, TRUTH[:2], "do not fit"),
        (SCORES, [0, 0, 0, 4], "none of the 4 candidates"),
        (np.where(SCORES == 0.9, np.nan, SCORES), TRUTH, "row 0 of 4 is NaN"),
    ],
)
def test_what_cannot_be_ranked_is_refused(scores: np.ndarray, truth: np.ndarray, what: str) -> None:
    with pytest.raises(RecloraError, match=what):
        ranking.truth_ranks(scores, truth)
