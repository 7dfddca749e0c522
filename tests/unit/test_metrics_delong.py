"""DeLong's covariance: its definition over all pairs, an example by hand, honest intervals."""

from __future__ import annotations

import math
import time
from statistics import NormalDist

import numpy as np
import pytest

from reclora_cli.metrics.auc import auc
from reclora_cli.metrics.delong import auc_interval, placements

LABELS = [1, 1, 1, 0, 0]
ONE = [0.9, 0.6, 0.4, 0.5, 0.3]
OTHER = [0.7, 0.5, 0.8, 0.5, 0.6]
"""Placements of likes 1, 1, 1/2 and 1, 1/4, 1; of dislikes 2/3, 1 and 5/6, 2/3."""


def world(rows, levels, seed=0):
    """Labels and three correlated models, the last of no use; scores on a grid tie often."""
    draw = np.random.default_rng(seed)
    labels = (draw.random(rows) < 0.3).astype(int)
    shared = draw.normal(size=rows)
    scores = [skill * labels + shared + 0.4 * draw.normal(size=rows) for skill in (1.5, 1.0, 0.0)]
    return labels, [np.round(values * levels) / levels if levels else values for values in scores]


def covariance_over_all_pairs(labels, scores):
    """Every like against every dislike (equations 4 to 6 of the paper), in plain loops."""
    likes = [row for row, label in enumerate(labels) if label]
    dislikes = [row for row, label in enumerate(labels) if not label]

    def won(values, like, dislike):
        if values[like] == values[dislike]:
            return 0.5
        return 1.0 if values[like] > values[dislike] else 0.0

    def covariance(one, other):
        means = sum(one) / len(one), sum(other) / len(other)
        products = ((a - means[0]) * (b - means[1]) for a, b in zip(one, other, strict=True))
        return sum(products) / (len(one) - 1)

    by_like = [
        [sum(won(v, like, dislike) for dislike in dislikes) / len(dislikes) for like in likes]
        for v in scores
    ]
    by_dislike = [
        [sum(won(v, like, dislike) for like in likes) / len(likes) for dislike in dislikes]
        for v in scores
    ]
    models = range(len(scores))
    return np.array(
        [
            [
                covariance(by_like[r], by_like[s]) / len(likes)
                + covariance(by_dislike[r], by_dislike[s]) / len(dislikes)
                for s in models
            ]
            for r in models
        ]
    )


@pytest.mark.parametrize("rows", [12, 150])
@pytest.mark.parametrize("levels", [None, 1, 3])
def test_covariance_equals_its_definition_over_all_pairs(rows, levels):
    labels, scores = world(rows, levels)
    found = placements(labels, scores)
    expected = covariance_over_all_pairs(labels, scores)
    np.testing.assert_allclose(found.covariance, expected, rtol=0, atol=1e-9)
    assert expected.min() > 1e-9, "a check of noughts checks nothing"
    for model, values in enumerate(scores):
        assert found.aucs[model] == pytest.approx(auc(labels, values), abs=1e-12)
        assert found.standard_error(model) == pytest.approx(
            math.sqrt(expected[model, model]), abs=1e-9
        )


def test_the_example_by_hand():
    found = placements(LABELS, [ONE, OTHER])
    np.testing.assert_allclose(found.aucs, [5 / 6, 3 / 4], rtol=0, atol=1e-12)
    expected = [[1 / 18, -5 / 144], [-5 / 144, 5 / 72]]
    np.testing.assert_allclose(found.covariance, expected, rtol=0, atol=1e-12)
    tested = found.difference(0, 1)
    # 1/18 + 5/72 + 2 * 5/144 = 7/36, and z = (1/12) / sqrt(7/36)
    assert tested.difference == pytest.approx(1 / 12, abs=1e-12)
    assert tested.standard_error == pytest.approx(math.sqrt(7) / 6, abs=1e-12)
    assert tested.p == pytest.approx(2 * (1 - NormalDist().cdf(1 / (2 * math.sqrt(7)))), abs=1e-9)


def test_the_interval_of_the_example_by_hand():
    # 3/4 -+ 0.674490 sqrt(5/72)
    found = auc_interval(LABELS, OTHER, 0.5)
    assert found == pytest.approx((0.5722563441, 0.9277436559), abs=1e-9)


def test_the_variance_of_a_difference_is_that_of_the_covariance():
    labels, scores = world(200, 4)
    found = placements(labels, scores)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        contrast = np.zeros(3)
        contrast[one], contrast[other] = 1, -1
        expected = math.sqrt(contrast @ found.covariance @ contrast)
        assert found.difference(one, other).standard_error == pytest.approx(expected, abs=1e-12)


def test_an_interval_stays_between_nought_and_one():
    low, high = auc_interval([1, 1, 0, 0, 1], [0.9, 0.8, 0.7, 0.1, 0.6], 0.99)
    assert 0 < low < 1
    assert high == 1.0


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([], []),
        ([1, 1, 1], [0.1, 0.2, 0.3]),
        ([1, 0, 0], [0.2, 0.1, 0.3]),
        ([1, 1, 0, 0], [0.8, 0.9, 0.1, 0.2]),
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]),
    ],
    ids=["no rows", "one class", "one like", "apart", "apart, wrong way"],
)
def test_no_interval_where_the_variance_is_not_known(labels, scores):
    assert auc_interval(labels, scores, 0.95) is None


def test_equal_scores_are_a_half_for_sure():
    assert auc_interval([1, 0, 1, 0], [0.5] * 4, 0.95) == (0.5, 0.5)


def test_interval_covers_the_true_auc_about_as_often_as_it_says():
    covered = 0
    for seed in range(400):
        draw = np.random.default_rng(seed)
        labels = np.repeat([0, 1], [150, 60])
        scores = draw.normal(size=210) + labels  # AUC = Phi(1 / sqrt 2)
        low, high = auc_interval(labels, scores, 0.90)
        covered += low <= 0.7602499389 <= high
    assert 342 <= covered <= 378


def test_eight_models_on_all_test_rows_of_ml_1m_take_seconds():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 97_002)
    start = time.process_time()
    placements(labels, [draw.random(97_002) for _ in range(8)])
    assert time.process_time() - start < 10
