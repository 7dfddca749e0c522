"""AUC, LogLoss and accuracy against tables worked by hand, naive oracles and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from reclora_cli.errors import RecloraError
from reclora_cli.metrics.accuracy import accuracy
from reclora_cli.metrics.auc import auc, midranks
from reclora_cli.metrics.log_loss import log_loss

# labels, scores, pairs (like, dislike) in right order + half of the ties, all pairs
AUC_BY_HAND = [
    ([0, 1], [0.2, 0.8], 1, 1),
    ([1, 0], [0.2, 0.8], 0, 1),
    ([0, 1], [0.5, 0.5], 0.5, 1),
    # likes .9 .4, dislikes .6 .1: .9 > both, .4 > .1 only
    ([1, 0, 1, 0], [0.9, 0.6, 0.4, 0.1], 3, 4),
    # likes .5 .5, dislikes .5 .2: two ties with .5, two above .2
    ([1, 1, 0, 0], [0.5, 0.5, 0.5, 0.2], 3, 4),
    ([1, 0, 0, 0, 1], [3, 1, 2, 3, 0], 2.5, 6),
]


@pytest.mark.parametrize(("labels", "scores", "right", "pairs"), AUC_BY_HAND)
def test_auc_is_the_share_of_pairs_in_right_order(labels, scores, right, pairs):
    assert auc(labels, scores) == pytest.approx(right / pairs, abs=1e-15)


@pytest.mark.parametrize("labels", [[], [1], [0, 0, 0], [1, 1]])
def test_auc_is_undefined_without_both_classes(labels):
    assert auc(labels, np.linspace(0, 1, len(labels))) is None


def test_midranks_share_the_mean_of_tied_ranks():
    assert midranks(np.array([0.3, 0.1, 0.3, 0.3, 0.7])).tolist() == [3, 1, 3, 3, 5]


@pytest.mark.parametrize("levels", [3, 50, None])
def test_auc_agrees_with_scikit_learn_with_and_without_ties(levels):
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 2, 5_000)
    scores = draw.random(5_000) if levels is None else draw.integers(0, levels, 5_000) / levels
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)


def test_auc_does_not_change_under_a_monotone_map():
    draw = np.random.default_rng(2)
    labels, scores = draw.integers(0, 2, 300), draw.normal(size=300)
    assert auc(labels, scores) == auc(labels, 1 / (1 + np.exp(-scores)))


def test_log_loss_by_hand():
    expected = -(math.log(0.9) + math.log(1 - 0.4) + math.log(0.25)) / 3
    assert log_loss([1, 0, 1], [0.9, 0.4, 0.25]) == pytest.approx(expected, abs=1e-15)


def test_log_loss_agrees_with_scikit_learn_even_at_certain_and_wrong():
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 2, 1_000)
    probabilities = np.concatenate([draw.random(996), [0.0, 0.0, 1.0, 1.0]])
    theirs = sklearn_log_loss(labels, probabilities, labels=[0, 1])
    assert log_loss(labels, probabilities) == pytest.approx(theirs, abs=1e-9)


def test_log_loss_of_one_class_is_defined_and_of_no_rows_is_not():
    assert log_loss([1, 1], [0.5, 0.5]) == pytest.approx(math.log(2))
    assert log_loss([], []) is None


def test_accuracy_answers_yes_from_one_half_up():
    assert accuracy([1, 0, 1, 0], [0.5, 0.5, 0.49, 0.1]) == 0.5
    assert accuracy([], []) is None


@pytest.mark.parametrize("metric", [auc, log_loss, accuracy])
def test_a_nan_score_is_refused_with_its_row(metric):
    with pytest.raises(RecloraError, match="score of row 2 of 4 is nan"):
        metric([0, 1, 1, 0], [0.1, 0.2, np.nan, 0.3])


@pytest.mark.parametrize("metric", [auc, log_loss, accuracy])
def test_a_label_that_is_neither_0_nor_1_is_refused(metric):
    with pytest.raises(RecloraError, match="label of row 1 of 2 is 2"):
        metric([0, 2], [0.1, 0.2])


@pytest.mark.parametrize("metric", [auc, log_loss, accuracy])
def test_labels_and_scores_of_unequal_length_are_refused(metric):
    with pytest.raises(RecloraError, match=r"\(3,\) do not fit scores of shape \(2,\)"):
        metric([0, 1, 1], [0.1, 0.2])


@pytest.mark.parametrize("metric", [log_loss, accuracy])
@pytest.mark.parametrize("score", [-0.01, 1.01, np.inf])
def test_a_score_that_is_no_probability_is_refused(metric, score):
    with pytest.raises(RecloraError, match="probability of row 1"):
        metric([0, 1], [0.1, score])
