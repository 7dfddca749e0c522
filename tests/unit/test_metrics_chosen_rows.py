"""Chosen rows against the rest: shares, Cliff's delta, intervals over users, many comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reclora_cli.metrics.chosen_rows import (
    cliffs_delta,
    cohens_h,
    dealt_p,
    midranks,
    shares_apart,
    user_draws,
)
from reclora_cli.metrics.false_discovery import benjamini_hochberg


def stream() -> np.random.Generator:
    return np.random.default_rng(5)


def test_a_table_worked_by_hand() -> None:
    # Chosen: rows 0-3, of which 3 have the trait; rest: rows 4-8, of which 1 has it.
    traits = np.array([[1], [1], [1], [0], [1], [0], [0], [0], [0]], dtype=bool)
    chosen = np.arange(9) < 4
    users = np.array([0, 0, 1, 2, 0, 1, 2, 3, 3])
    [told] = shares_apart(traits, chosen, users, user_draws(4, 400, stream()), 0.95)
    assert (told.chosen, told.rest) == (0.75, 0.2)
    assert told.difference.value == pytest.approx(0.55)
    assert told.cohens_h == pytest.approx(2 * math.asin(0.75**0.5) - 2 * math.asin(0.2**0.5))


def test_cohens_h_of_published_values() -> None:
    # Cohen (1988), table 6.2.2: phi(.50) = 1.571, phi(.65) = 1.875.
    assert cohens_h(0.65, 0.5) == pytest.approx(1.875 - 1.571, abs=2e-3)
    assert cohens_h(1.0, 0.0) == pytest.approx(math.pi)
    assert cohens_h(0.3, 0.3) == 0.0


def test_cliffs_delta_worked_by_hand_with_ties_and_unknown_values() -> None:
    # 1, 2, 3 against 2, 2, 0: 5 of 9 pairs won (1>0, 2>0, 3>2, 3>2, 3>0), 2 tied, 2 lost.
    values = np.array([1.0, 2.0, 3.0, np.nan, 2.0, 2.0, 0.0, np.nan])
    chosen = np.array([True, True, True, True, False, False, False, False])
    told = cliffs_delta(values, chosen, np.arange(8), user_draws(8, 100, stream()), 0.95)
    assert told.value == pytest.approx((5 - 2) / 9)


def test_cliffs_delta_is_mann_whitneys_u() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 12, 300).astype(float)
    chosen = rng.random(300) < 0.3
    users = rng.integers(0, 40, 300)
    told = cliffs_delta(values, chosen, users, user_draws(40, 50, stream()), 0.95)
    u = stats.mannwhitneyu(values[chosen], values[~chosen]).statistic
    pairs = chosen.sum() * (~chosen).sum()
    assert told.value == pytest.approx(2 * u / pairs - 1, abs=1e-12)


def test_each_resample_is_the_figure_of_the_rows_of_the_users_drawn() -> None:
    rng = np.random.default_rng(2)
    users = np.sort(rng.integers(0, 12, 90))
    chosen = rng.random(90) < 0.4
    values = rng.integers(0, 6, 90).astype(float)
    traits = np.stack([values > 2, rng.random(90) < 0.2], axis=1)
    draws = user_draws(12, 40, stream())
    slow_delta, slow_apart = [], []
    for draw in draws.astype(int):
        rows = np.concatenate(
            [np.flatnonzero(users == user) for user in np.repeat(range(12), draw)]
        )
        high, rest = rows[chosen[rows]], rows[~chosen[rows]]
        signs = np.sign(values[high][:, None] - values[rest][None, :])
        slow_delta.append(signs.mean())
        slow_apart.append(traits[high].mean(axis=0) - traits[rest].mean(axis=0))
    told = cliffs_delta(values, chosen, users, draws, 0.9)
    assert (told.low, told.high) == pytest.approx(np.quantile(slow_delta, (0.05, 0.95)), abs=1e-6)
    for at, share in enumerate(shares_apart(traits, chosen, users, draws, 0.9)):
        low, high = np.quantile(np.array(slow_apart)[:, at], (0.05, 0.95))
        told_low, told_high = share.difference.low, share.difference.high
        assert (told_low, told_high) == pytest.approx((low, high), abs=1e-12)


def test_midranks_as_scipy() -> None:
    values = np.random.default_rng(0).integers(0, 9, 50).astype(float)
    assert midranks(values) == pytest.approx(stats.rankdata(values))
    assert midranks(np.array([3.0, np.nan, 1.0])).tolist() == [2.0, 1.5, 1.0]


def test_dealt_p_of_users_of_one_row_is_that_of_the_permutation_test() -> None:
    rng = np.random.default_rng(1)
    values, chosen = rng.normal(size=(60, 1)), np.arange(60) < 15
    values[chosen] += 0.6
    [[told]] = dealt_p(values, chosen[:, None], np.arange(60), 4000, stream())
    # Sampling without replacement: sd of the difference of means is known exactly.
    sd = values.std(ddof=1) * math.sqrt(1 / 15 + 1 / 45)
    z = (values[chosen].mean() - values[~chosen].mean()) / sd
    assert told == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.15)


def test_dealing_keeps_the_rows_of_a_user_together() -> None:
    rng = np.random.default_rng(2)
    taste, pick = rng.random(40) < 0.5, rng.random(40) < 0.3
    once = dealt_p(taste[:, None], pick[:, None], np.arange(40), 2000, stream())
    users = np.repeat(np.arange(40), 6)  # The same said six times proves no more.
    again = dealt_p(taste[users][:, None], pick[users][:, None], users, 2000, stream())
    assert again[0, 0] == pytest.approx(once[0, 0], abs=0.1)
    apart = dealt_p(taste[users][:, None], pick[users][:, None], np.arange(240), 2000, stream())
    assert apart[0, 0] < 0.1 < once[0, 0]


def test_dealt_p_of_what_never_varies_is_1() -> None:
    ones, some = np.ones((8, 1)), np.arange(8)[:, None] < 3
    assert dealt_p(ones, some, np.arange(8), 50, stream())[0, 0] == 1.0
    assert dealt_p(np.eye(8)[:, :1], some * False, np.arange(8), 50, stream())[0, 0] == 1.0


def test_rows_of_one_user_widen_the_interval() -> None:
    rng = np.random.default_rng(4)
    taste = rng.random(30) < 0.5  # All rows of a user are alike: 30 draws, not 600.
    users = np.repeat(np.arange(30), 20)
    chosen = rng.random(600) < 0.5
    by_user = shares_apart(
        taste[users][:, None], chosen, users, user_draws(30, 800, stream()), 0.95
    )[0].difference
    apart = rng.random(30) < 0.5
    chosen_users = apart[users]
    clustered = shares_apart(
        taste[users][:, None], chosen_users, users, user_draws(30, 800, stream()), 0.95
    )[0].difference
    assert by_user.low is not None
    assert by_user.high is not None
    assert clustered.low is not None
    assert clustered.high is not None
    assert clustered.high - clustered.low > 3 * (by_user.high - by_user.low)


@pytest.mark.parametrize("share", [0.4, 0.08])
def test_noise_is_called_by_chance_as_often_as_it_may_be(share: float) -> None:
    found = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        users = np.repeat(np.arange(100), 4)
        weight = np.repeat(rng.normal(size=100), 4) + rng.normal(size=400)
        trait = np.repeat(rng.random(100) < share, 4)[:, None]
        chosen = weight > np.quantile(weight, 0.75)
        found.append(dealt_p(trait, chosen[:, None], users, 200, rng)[0, 0])
    assert 0.025 <= np.mean(np.array(found) < 0.05) <= 0.08


@pytest.mark.parametrize("chosen", [np.ones(4, dtype=bool), np.zeros(4, dtype=bool)])
def test_nothing_to_compare_with_is_no_figure(chosen: np.ndarray) -> None:
    told = cliffs_delta(np.arange(4.0), chosen, np.arange(4), user_draws(4, 10, stream()), 0.95)
    assert math.isnan(told.value)
    assert (told.low, told.high) == (None, None)


def test_benjamini_hochberg_worked_by_hand() -> None:
    # m = 4: .01 * 4/1, .02 * 4/2, .03 * 4/3, .5; the third caps the two before it.
    assert benjamini_hochberg([0.02, 0.5, 0.01, 0.03]) == pytest.approx([0.04, 0.5, 0.04, 0.04])
    assert benjamini_hochberg([]).tolist() == []


def test_benjamini_hochberg_as_scipy() -> None:
    p = np.random.default_rng(0).random(500) ** 3
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p), rel=1e-12)
