"""Figures over seeds: a table worked by hand."""

from __future__ import annotations

import math

import pytest

from reclora_cli.metrics.compare import Figure, Figures, UserFigure
from reclora_cli.metrics.over_seeds import MeanSd, over_seeds


def figures(value: float | None, rows: int = 10) -> Figures:
    one = Figure(value, None, None)
    user = UserFigure(value, None, None, users=3, rows=9)
    return Figures(rows, 0.5, auc=one, log_loss=one, accuracy=one, user_auc=user, ece=one)


def test_the_table_by_hand():
    # mean of .70, .72, .77 is .73; squares of .03, .01, .04 add up to .0026, over two
    runs = [("k16", seed, figures(auc)) for seed, auc in ((2, 0.77), (0, 0.70), (1, 0.72))]
    found = over_seeds(runs)["k16"]
    assert (found.seeds, found.n) == ([0, 1, 2], 3)
    for figure in (found.auc, found.log_loss, found.accuracy, found.user_auc, found.ece):
        assert figure.mean == pytest.approx(0.73, abs=1e-12)
        assert figure.sd == pytest.approx(math.sqrt(0.0013), abs=1e-12)


def test_keys_come_as_they_first_do_and_one_of_a_single_seed_is_left_out():
    runs = [("b", 0, figures(0.7)), ("a", 0, figures(0.7)), ("c", 0, figures(0.7))]
    runs += [(key, 1, figures(0.8)) for key in ("a", "b")]
    assert list(over_seeds(runs)) == ["b", "a"]


def test_an_undefined_figure_leaves_its_mean_undefined():
    found = over_seeds([("a", 0, figures(0.7)), ("a", 1, figures(None))])["a"]
    assert found.auc == MeanSd(None, None)


def test_the_same_seed_twice_or_other_rows_are_refused():
    with pytest.raises(AssertionError, match="seed 0 comes twice under a"):
        over_seeds([("a", 0, figures(0.7)), ("a", 0, figures(0.8))])
    with pytest.raises(AssertionError, match="different rows"):
        over_seeds([("a", 0, figures(0.7)), ("a", 1, figures(0.8, rows=11))])
