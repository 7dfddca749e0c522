"""User-AUC: worked by hand, and as scikit-learn's AUC of each user by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from reclora_cli.errors import RecloraError
from reclora_cli.metrics.intervals import Draw
from reclora_cli.metrics.user_auc import ResampledUserAuc, auc_by_user, user_auc

USERS = [7, 3, 7, 3, 7, 3, 9, 9, 4]
LABELS = [1, 1, 0, 0, 0, 1, 1, 1, 0]
SCORES = [0.5, 0.9, 0.5, 0.3, 0.2, 0.1, 0.8, 0.1, 0.4]
"""User 3: likes .9 and .1, dislike .3: 1 of 2. User 7: like .5, dislikes .5 and .2: 1.5 of 2.
User 9 likes all and user 4 nothing: they do not count."""


def world(rows=2_000, users=150, seed=0, levels=None):
    draw = np.random.default_rng(seed)
    whose = draw.integers(0, users, rows) * 11
    taste = draw.random(users * 11)
    labels = (draw.random(rows) < taste[whose]).astype(int)
    scores = 0.3 * labels + 0.7 * draw.random(rows)
    return labels, scores if levels is None else np.round(scores * levels) / levels, whose


def by_loop(labels, scores, whose):
    """Each user by itself: the sums of rows times AUC and of rows."""
    won, rows = 0.0, 0
    for user in np.unique(whose):
        of = whose == user
        if 0 < labels[of].sum() < of.sum():
            won += of.sum() * roc_auc_score(labels[of], scores[of])
            rows += of.sum()
    return won / rows


def test_the_example_by_hand():
    found = auc_by_user(LABELS, SCORES, USERS)
    assert found.auc.tolist() == [0.5, 0.0, 0.75, 0.0]
    assert found.weight.tolist() == [3, 0, 3, 0]
    assert (found.value, found.users, found.rows) == (0.625, 2, 6)


@pytest.mark.parametrize("levels", [None, 4])
def test_it_is_the_mean_of_scikit_learns_aucs_weighted_by_rows(levels):
    labels, scores, whose = world(levels=levels)
    assert user_auc(labels, scores, whose) == pytest.approx(
        by_loop(labels, scores, whose), abs=1e-9
    )


def test_knowing_only_which_users_like_much_is_a_half():
    labels, _, whose = world()
    assert user_auc(labels, whose / whose.max(), whose) == 0.5
    assert roc_auc_score(labels, [labels[whose == user].mean() for user in whose]) > 0.7


def test_one_user_has_the_plain_auc():
    labels, scores, _ = world(300)
    assert user_auc(labels, scores, np.zeros(300)) == pytest.approx(
        roc_auc_score(labels, scores), abs=1e-12
    )


@pytest.mark.parametrize(
    ("labels", "users"), [([], []), ([1, 0], [0, 1]), ([1, 1], [0, 0])], ids=str
)
def test_it_is_undefined_where_no_user_has_both_classes(labels, users):
    found = auc_by_user(labels, np.linspace(0, 1, len(labels)), users)
    assert (found.value, found.users, found.rows) == (None, 0, 0)


def test_under_counts_it_is_that_of_the_users_drawn():
    labels, scores, whose = world(400, users=30)
    found = auc_by_user(labels, scores, whose)
    statistic = ResampledUserAuc(found)
    ids = np.unique(whose)
    for seed in range(5):
        drawn = np.random.default_rng(seed).integers(0, len(ids), len(ids))
        rows = [np.flatnonzero(whose == ids[at]) for at in drawn]
        renamed = np.repeat(np.arange(len(ids)), [len(of) for of in rows])
        every = np.concatenate(rows)
        expected = by_loop(labels[every], scores[every], renamed)
        counts = np.bincount(drawn, minlength=len(ids))
        assert statistic(Draw.of(counts)) == pytest.approx(expected, abs=1e-12)


def test_under_counts_of_users_who_do_not_count_it_is_undefined():
    statistic = ResampledUserAuc(auc_by_user(LABELS, SCORES, USERS))
    assert math.isnan(statistic(Draw.of(np.array([0, 2, 0, 2]))))


def test_a_user_too_few_is_refused():
    with pytest.raises(RecloraError, match=r"users of shape \(1,\) do not fit labels"):
        user_auc([0, 1], [0.1, 0.2], [3])
