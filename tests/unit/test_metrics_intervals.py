"""The bootstrap: the same figures as resampling rows literally, honest intervals, quick."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from reclora_cli.metrics.auc import auc
from reclora_cli.metrics.intervals import (
    Draw,
    ResampledAuc,
    ResampledMean,
    bootstrap,
    interval,
    mean_interval,
)
from reclora_cli.metrics.log_loss import log_loss, log_losses


def world(rows=400, levels=None, seed=0):
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, rows)
    scores = np.clip(0.5 + 0.15 * (labels - 0.5) + 0.2 * draw.normal(size=rows), 0, 1)
    return labels, scores if levels is None else np.round(scores * levels) / levels


@pytest.mark.parametrize("levels", [None, 5])
def test_statistics_under_counts_equal_the_metrics_of_the_rows_drawn(levels):
    labels, scores = world(levels=levels)
    statistics = [ResampledAuc(labels, scores), ResampledMean(log_losses(labels, scores))]
    found = bootstrap(statistics, 400, 20, np.random.default_rng(7))
    stream = np.random.default_rng(7)
    for resample in found:
        drawn = stream.integers(0, 400, 400)
        assert resample[0] == pytest.approx(auc(labels[drawn], scores[drawn]), abs=1e-12)
        assert resample[1] == pytest.approx(log_loss(labels[drawn], scores[drawn]), abs=1e-12)


def test_every_row_once_gives_the_plain_auc():
    labels, scores = world(levels=10)
    assert ResampledAuc(labels, scores)(Draw.of(np.ones(400, dtype=int))) == pytest.approx(
        auc(labels, scores), abs=1e-15
    )


def test_auc_under_counts_is_nan_when_one_class_was_drawn():
    statistic = ResampledAuc([0, 1, 1], [0.1, 0.2, 0.3])
    assert math.isnan(statistic(Draw.of(np.array([0, 2, 1]))))


def test_the_same_stream_gives_the_same_resamples():
    labels, scores = world()
    first, second = (
        bootstrap([ResampledAuc(labels, scores)], 400, 5, np.random.default_rng(3))
        for _ in range(2)
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize("often", [1, 300, 70_000])
def test_a_row_may_be_drawn_any_number_of_times(often):
    labels, scores = world(60, levels=8)
    counts = np.random.default_rng(2).integers(0, 3, 60)
    counts[7] = often
    drawn = np.repeat(np.arange(60), counts)
    found = ResampledAuc(labels, scores)(Draw.of(counts))
    assert found == pytest.approx(auc(labels[drawn], scores[drawn]), abs=1e-12)


def test_interval_of_a_mean_by_formula():
    # mean 3, standard deviation sqrt(2.5), five values: 1.959964 sqrt(0.5)
    expected = (3 - 1.385903825, 3 + 1.385903825)
    assert mean_interval([1, 2, 3, 4, 5], 0.95) == pytest.approx(expected, abs=1e-8)
    assert mean_interval([2.0, 2.0], 0.95) == (2.0, 2.0)
    assert mean_interval([2.0], 0.95) is None
    assert mean_interval([], 0.95) is None


def test_interval_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(4).normal(size=2_000)
    samples = bootstrap([ResampledMean(values)], 2_000, 4_000, np.random.default_rng(5))[:, 0]
    low, high = interval(samples, 0.95)
    expected = 2 * 1.959964 * values.std() / math.sqrt(2_000)
    assert high - low == pytest.approx(expected, rel=0.06)
    assert low < values.mean() < high


def test_interval_covers_the_true_auc_about_as_often_as_it_says():
    covered = 0
    for seed in range(120):
        draw = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 150)
        scores = draw.normal(size=300) + labels  # AUC = Phi(1 / sqrt 2)
        samples = bootstrap([ResampledAuc(labels, scores)], 300, 200, draw)[:, 0]
        low, high = interval(samples, 0.90)
        covered += low <= 0.7602499389 <= high
    assert 96 <= covered <= 117


def test_interval_by_hand():
    assert interval(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))


def test_undefined_resamples_are_left_out_and_all_undefined_give_none():
    assert interval(np.array([np.nan, 1.0, 2.0, 3.0]), 0.5) == pytest.approx((1.5, 2.5))
    assert interval(np.array([np.nan, np.nan]), 0.95) is None


def test_no_rows_leave_every_resample_undefined():
    found = bootstrap([ResampledAuc([], []), ResampledMean([])], 0, 10, np.random.default_rng(0))
    assert found.shape == (10, 2)
    assert np.isnan(found).all()


def test_all_test_rows_of_ml_1m_take_a_thousand_resamples_within_twenty_seconds():
    labels, scores = world(97_002)
    start = time.process_time()
    bootstrap([ResampledAuc(labels, scores)], 97_002, 50, np.random.default_rng(0))
    assert (time.process_time() - start) * 1_000 / 50 < 20
