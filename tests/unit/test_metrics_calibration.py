"""Calibration: bins and ECE worked by hand, against scikit-learn and loops; Wilson's intervals."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from sklearn.calibration import calibration_curve as sklearn_calibration_curve

from reclora_cli.errors import RecloraError
from reclora_cli.metrics.calibration import BINS, calibration_curve
from reclora_cli.metrics.ece import ResampledEce, ece, ece_interval
from reclora_cli.metrics.intervals import Draw, bootstrap, interval, share_interval

LABELS = [0, 1, 1, 0, 1, 1]
SCORES = [0.0, 0.2, 0.5, 0.6, 0.75, 1.0]
"""In 4 bins: (0 and) 0-0.25 holds 0 and 0.2; 0.25-0.5 holds 0.5, its upper bound; 0.5-0.75 holds
0.6 and 0.75; 0.75-1 holds 1."""


def world(rows=5_000, seed=0, levels=None):
    draw = np.random.default_rng(seed)
    scores = draw.beta(2, 2, rows)
    labels = (draw.random(rows) < np.clip(scores + 0.1, 0, 1)).astype(int)
    return labels, scores if levels is None else np.round(scores * levels) / levels


def test_the_curve_of_the_example_by_hand():
    found = calibration_curve(LABELS, SCORES, 0.95, bins=4)
    assert [(one.lower, one.upper, one.rows) for one in found] == [
        (0.0, 0.25, 2),
        (0.25, 0.5, 1),
        (0.5, 0.75, 2),
        (0.75, 1.0, 1),
    ]
    means = [one.mean_probability for one in found]
    assert means == pytest.approx([0.1, 0.5, 0.675, 1.0], abs=1e-15)
    assert [one.share_of_likes for one in found] == [0.5, 1.0, 0.5, 1.0]


def test_ece_of_the_example_by_hand():
    # (2 |.5 - .1| + |1 - .5| + 2 |.5 - .675| + |1 - 1|) / 6
    assert ece(LABELS, SCORES, bins=4) == pytest.approx((0.8 + 0.5 + 0.35) / 6, abs=1e-15)


@pytest.mark.parametrize("levels", [None, 30])
def test_the_curve_agrees_with_scikit_learn_on_bounds_too(levels):
    labels, scores = world(levels=levels)
    found = calibration_curve(labels, scores, 0.95)
    shares, means = sklearn_calibration_curve(labels, scores, n_bins=BINS)
    np.testing.assert_allclose([one.share_of_likes for one in found], shares, rtol=0, atol=1e-9)
    np.testing.assert_allclose([one.mean_probability for one in found], means, rtol=0, atol=1e-9)


@pytest.mark.parametrize("levels", [None, 30])
def test_ece_is_the_mean_gap_of_the_curve(levels):
    labels, scores = world(levels=levels)
    gaps = (
        one.rows * abs(one.share_of_likes - one.mean_probability)
        for one in calibration_curve(labels, scores, 0.95)
    )
    assert ece(labels, scores) == pytest.approx(sum(gaps) / len(labels), abs=1e-12)


def test_bins_without_rows_are_left_out():
    assert [one.rows for one in calibration_curve([0, 1], [0.05, 0.95], 0.95)] == [1, 1]
    assert calibration_curve([], [], 0.95) == []


def test_ece_of_no_rows_is_undefined_and_of_one_class_is_not():
    assert ece([], []) is None
    assert ece([1, 1], [0.75, 0.5]) == pytest.approx(0.375)


def test_ece_under_counts_equals_that_of_the_rows_drawn():
    labels, scores = world(300)
    statistic = ResampledEce(labels, scores)
    for seed in range(10):
        drawn = np.random.default_rng(seed).integers(0, 300, 300)
        found = statistic(Draw.of(np.bincount(drawn, minlength=300)))
        assert found == pytest.approx(ece(labels[drawn], scores[drawn]), abs=1e-12)


def test_ece_under_counts_of_no_rows_is_undefined():
    found = bootstrap([ResampledEce([], [])], 0, 3, np.random.default_rng(0))
    assert np.isnan(found).all()
    assert math.isnan(ResampledEce([1], [0.5])(Draw.of(np.array([0]))))


def test_the_interval_mirrors_percentiles_at_the_value():
    # percentiles .05 and .95 of 0, .001, ..., .1 are .005 and .095
    samples = np.arange(101) / 1_000
    assert ece_interval(0.06, samples, 0.9) == pytest.approx((0.025, 0.115), abs=1e-12)
    assert ece_interval(0.02, samples, 0.9) == pytest.approx((0.0, 0.035), abs=1e-12)


def test_the_interval_reaches_the_value_and_leaves_undefined_resamples_out():
    assert ece_interval(0.02, np.full(9, 0.05), 0.9) == (0.0, 0.02)
    assert ece_interval(0.02, np.full(9, np.nan), 0.9) is None


def test_the_interval_covers_the_true_ece_more_often_than_percentiles_do():
    covered = {"basic": 0, "percentiles": 0}
    for seed in range(100):
        draw = np.random.default_rng(seed)
        scores = draw.beta(3, 3, 1_000)
        labels = (draw.random(1_000) < np.clip(scores - 0.05, 0, 1)).astype(int)
        samples = bootstrap([ResampledEce(labels, scores)], 1_000, 100, draw)[:, 0]
        found = {
            "basic": ece_interval(ece(labels, scores), samples, 0.95),
            "percentiles": interval(samples, 0.95),
        }
        for name, (low, high) in found.items():
            covered[name] += low <= 0.05 <= high
    assert covered["basic"] >= 80 > covered["percentiles"] + 10


@pytest.mark.parametrize(
    ("successes", "rows", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_that_of_newcombes_examples(successes, rows, low, high):
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3.
    assert share_interval(successes, rows, 0.95) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("successes", "rows"), [(0, 1), (1, 1), (3, 7), (500, 1_000), (20, 20)])
def test_a_normal_test_just_rejects_wilsons_ends(successes, rows):
    z = NormalDist().inv_cdf(0.975)
    for end in share_interval(successes, rows, 0.95):
        gap = successes / rows - end
        assert gap**2 == pytest.approx(z**2 * end * (1 - end) / rows, abs=1e-9)


@pytest.mark.parametrize("metric", [ece, lambda *rows: calibration_curve(*rows, 0.95)])
def test_a_score_that_is_no_probability_is_refused(metric):
    with pytest.raises(RecloraError, match="probability of row 1"):
        metric([0, 1], [0.1, 1.5])
    with pytest.raises(RecloraError, match="score of row 0 of 2 is nan"):
        metric([0, 1], [np.nan, 0.5])
