"""Chosen rows against the rest: shares, Cliff's delta, intervals over users, many comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reclora_cli.metrics.chosen_rows import cliffs_delta, cohens_h, shares_apart, user_draws
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


def test_p_is_that_of_the_effect_over_its_spread_among_resamples() -> None:
    rng = np.random.default_rng(3)
    users, chosen = rng.integers(0, 50, 400), rng.random(400) < 0.25
    traits = (rng.random((400, 1)) < 0.3 + 0.2 * chosen[:, None]).astype(bool)
    draws = user_draws(50, 600, stream())
    [told] = shares_apart(traits, chosen, users, draws, 0.95)
    drawn = []
    for draw in draws:
        rows = draw[users]
        high, rest = rows * chosen, rows * ~chosen
        drawn.append(high @ traits[:, 0] / high.sum() - rest @ traits[:, 0] / rest.sum())
    z = told.difference.value / np.std(drawn, ddof=1)
    assert told.difference.p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)


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


def test_noise_is_called_by_chance_no_more_often_than_it_may_be() -> None:
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        users = np.repeat(np.arange(60), 4)
        weight = np.repeat(rng.normal(size=60), 4) + rng.normal(size=240)
        trait = (np.repeat(rng.random(60) < 0.4, 4))[:, None]
        chosen = weight > np.quantile(weight, 0.75)
        [told] = shares_apart(trait, chosen, users, user_draws(60, 200, rng), 0.95)
        found.append(told.difference.p)
    assert np.mean(np.array(found) < 0.05) <= 0.1


@pytest.mark.parametrize("chosen", [np.ones(4, dtype=bool), np.zeros(4, dtype=bool)])
def test_nothing_to_compare_with_is_no_figure(chosen: np.ndarray) -> None:
    told = cliffs_delta(np.arange(4.0), chosen, np.arange(4), user_draws(4, 10, stream()), 0.95)
    assert math.isnan(told.value)
    assert (told.low, told.high, told.p) == (None, None, None)


@pytest.mark.parametrize(("users", "p"), [(1, 1.0), (4, 2 / 16), (40, 2 / 2**40)])
def test_what_every_resample_says_is_tested_by_the_signs_of_users(users: int, p: float) -> None:
    values, chosen = np.repeat([0.0, 1.0], users), np.repeat([False, True], users)
    of_user = np.tile(np.arange(users), 2)
    told = cliffs_delta(values, chosen, of_user, user_draws(users, 20, stream()), 0.95)
    assert (told.value, told.low, told.high) == (1.0, 1.0, 1.0)
    assert told.p == pytest.approx(p)


def test_benjamini_hochberg_worked_by_hand() -> None:
    # m = 4: .01 * 4/1, .02 * 4/2, .03 * 4/3, .5; the third caps the two before it.
    assert benjamini_hochberg([0.02, 0.5, 0.01, 0.03]) == pytest.approx([0.04, 0.5, 0.04, 0.04])
    assert benjamini_hochberg([]).tolist() == []


def test_benjamini_hochberg_as_scipy() -> None:
    p = np.random.default_rng(0).random(500) ** 3
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p), rel=1e-12)
