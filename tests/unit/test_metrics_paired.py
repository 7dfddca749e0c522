"""Paired tests: DeLong against its definition, the bootstrap's p against DeLong's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reclora_cli.metrics.auc import auc
from reclora_cli.metrics.delong import delong
from reclora_cli.metrics.intervals import ResampledAuc, bootstrap
from reclora_cli.metrics.paired import bootstrap_p


def world(rows=200, gap=0.4, seed=0, levels=None):
    """Two correlated models; the first is better when ``gap`` > 0."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, rows)
    shared = draw.normal(size=rows)
    better = (1 + gap) * labels + shared + 0.5 * draw.normal(size=rows)
    worse = labels + shared + 0.5 * draw.normal(size=rows)
    if levels:
        better, worse = np.round(better * levels) / levels, np.round(worse * levels) / levels
    return labels, better, worse


def delong_by_definition(labels, scores, reference):
    """Every pair of a like and a dislike, as in DeLong et al. 1988, equations 4 and 5."""
    shares = []
    for values in (scores, reference):
        likes, dislikes = values[labels == 1], values[labels == 0]
        won = np.array(
            [[1.0 if a > b else 0.5 if a == b else 0.0 for b in dislikes] for a in likes]
        )
        shares.append((won.mean(axis=1), won.mean(axis=0)))
    variance = sum(np.cov(a, b) / len(a) for a, b in zip(*shares, strict=True))
    contrast = np.array([1, -1])
    error = math.sqrt(contrast @ variance @ contrast)
    difference = shares[0][0].mean() - shares[1][0].mean()
    return difference, error


@pytest.mark.parametrize("levels", [None, 2])
def test_delong_equals_its_definition_over_all_pairs(levels):
    labels, scores, reference = world(levels=levels)
    found = delong(labels, scores, reference)
    difference, error = delong_by_definition(labels, scores, reference)
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.standard_error == pytest.approx(error, abs=1e-12)
    assert found.p == pytest.approx(math.erfc(abs(difference / error) / math.sqrt(2)), abs=1e-12)


def test_delong_difference_is_the_difference_of_the_aucs():
    labels, scores, reference = world()
    expected = auc(labels, scores) - auc(labels, reference)
    assert delong(labels, scores, reference).difference == pytest.approx(expected, abs=1e-12)


def test_delong_swaps_sign_and_keeps_p_when_the_models_swap():
    labels, scores, reference = world()
    one, other = delong(labels, scores, reference), delong(labels, reference, scores)
    assert one.difference == pytest.approx(-other.difference, abs=1e-15)
    assert one.p == pytest.approx(other.p, abs=1e-12)


def test_a_model_against_itself_differs_in_nothing():
    labels, scores, _ = world()
    found = delong(labels, scores, scores)
    assert (found.difference, found.standard_error, found.p) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("labels", [[], [0, 0, 0], [1, 0, 0]])
def test_delong_is_undefined_without_two_of_each_class(labels):
    assert delong(labels, np.arange(len(labels)), np.arange(len(labels))) is None


def test_delong_rejects_equal_models_about_as_often_as_its_level():
    p_values = [delong(*world(gap=0.0, seed=seed)).p for seed in range(300)]
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09


def test_bootstrap_p_by_hand():
    # 1 of 9 resamples at or below zero: 2 (1 + 1) / (9 + 1)
    assert bootstrap_p(np.array([-1.0, 1, 2, 3, 4, 5, 6, 7, 8])) == pytest.approx(0.4)
    assert bootstrap_p(np.arange(1.0, 100.0)) == pytest.approx(2 / 100)
    assert bootstrap_p(np.zeros(9)) == 1.0


def test_bootstrap_p_leaves_out_undefined_resamples():
    assert bootstrap_p(np.array([np.nan, 1.0, 2.0, 3.0])) == pytest.approx(0.5)
    assert bootstrap_p(np.array([np.nan])) is None


def test_the_paired_bootstrap_and_delong_agree():
    labels, scores, reference = world(rows=600, gap=0.15, seed=3)
    statistics = [ResampledAuc(labels, scores), ResampledAuc(labels, reference)]
    samples = bootstrap(statistics, 600, 4_000, np.random.default_rng(1))
    differences = samples[:, 0] - samples[:, 1]
    exact = delong(labels, scores, reference)
    assert differences.std() == pytest.approx(exact.standard_error, rel=0.08)
    assert bootstrap_p(differences) == pytest.approx(exact.p, abs=0.03)
