"""Answers in words, on a table worked by hand.

row  candidates                   truth  answer                     names        hit
0    Heat, Alien, Brazil          0      Heat                       Heat         1
1    Heat, Alien, Brazil          1      "  heat. "                 Heat         0
2    Heat, Alien, Brazil          2      I like Brazil              none: invalid 0
3    Heat, HEAT, Alien            1      heat                       both Heats   1/2
4    Heat, HEAT, Alien            2      heat                       both Heats   0
5    Heat, HEAT, Alien            2      Alien!                     Alien        1

HitRatio@1 = 2.5 / 6, over valid 2.5 / 5, ValidRatio 5 / 6; ambiguous rows 3, ambiguous answers 2.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from reclora_cli.errors import RecloraError
from reclora_cli.metrics import ranking
from reclora_cli.metrics.choices import RowFigure, generated, named, normalised
from reclora_cli.metrics.choices_paired import difference
from reclora_cli.metrics.mcnemar import binomial_p, mcnemar
from reclora_cli.seeding import numpy_stream

DISTINCT, ALIKE = ["Heat", "Alien", "Brazil"], ["Heat", "HEAT", "Alien"]
TITLES = [DISTINCT, DISTINCT, DISTINCT, ALIKE, ALIKE, ALIKE]
SAID = ["Heat", '"  heat. "', "I like Brazil", "heat", "heat", "Alien!"]
TRUTH = [0, 1, 2, 1, 2, 2]
HITS = [1, 0, 0, 0.5, 0, 1]
RESAMPLING = {"resamples": 400, "confidence": 0.95}


@pytest.mark.parametrize(
    ("title", "read"),
    [
        ("Heat (1995)", "heat (1995"),
        ("  The\u00a0Kinks\n", "the kinks"),
        ("“Alien”.", "alien"),
        ("Sigur Rós", "sigur rós"),
        ("Ro\u0301s", "r\u00f3s"),
        ("ＡＢＢＡ", "abba"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("`Heat`", "heat"),
        ("P!nk", "p!nk"),
        ("!!!", "!!!"),
        ("AC/DC", "ac/dc"),
        ("", ""),
    ],
)
def test_titles_are_compared_without_case_width_space_and_punctuation_at_the_ends(
    title: str, read: str
) -> None:
    assert normalised(title) == read
    assert normalised(read) == read


def test_the_table_worked_by_hand() -> None:
    found = named(SAID, TITLES, TRUTH)
    assert found.hits.tolist() == HITS
    assert found.matches.tolist() == [1, 1, 0, 2, 2, 1]
    assert found.ambiguous.tolist() == [False] * 3 + [True] * 3
    told = generated(found, **RESAMPLING, stream=numpy_stream(0, "test"))
    assert (told.n, told.valid, told.ambiguous, told.ambiguous_answers) == (6, 5, 3, 2)
    assert told.figures == {
        "hit_ratio@1": pytest.approx(2.5 / 6),
        "hit_ratio@1_valid": pytest.approx(0.5),
        "valid_ratio": pytest.approx(5 / 6),
    }


def test_an_empty_answer_is_invalid() -> None:
    assert named(["", " \n"], [DISTINCT] * 2, [0, 1]).matches.tolist() == [0, 0]


def test_over_valid_is_undefined_where_no_answer_is_valid() -> None:
    told = generated(
        named(["what?"] * 3, [DISTINCT] * 3, [0, 1, 2]),
        **RESAMPLING,
        stream=numpy_stream(0, "test"),
    )
    assert told.figures == {"hit_ratio@1": 0, "hit_ratio@1_valid": None, "valid_ratio": 0}
    assert told.intervals["hit_ratio@1_valid"] is None
    assert told.intervals["valid_ratio"] == (0, 0)


def test_no_rows_have_no_figure() -> None:
    told = generated(named([], [], []), **RESAMPLING, stream=numpy_stream(0, "test"))
    assert told.n == 0
    assert set(told.figures.values()) == {None} == set(told.intervals.values())


def drawn(rows: int, seed: int = 0) -> tuple[list[str], list[list[str]], np.ndarray]:
    """Answers: a third invalid, a third wrong, a third right."""
    stream = np.random.default_rng(seed)
    truth, kind = stream.integers(0, 3, rows), stream.integers(0, 3, rows)
    said = [
        ("nothing", DISTINCT[(true + 1) % 3], DISTINCT[true])[of]
        for true, of in zip(truth, kind, strict=True)
    ]
    return said, [DISTINCT] * rows, truth


def test_an_interval_over_valid_is_that_of_the_valid_rows_alone() -> None:
    """A ratio resampled with its denominator is about as wide as a mean over the valid rows."""
    found = named(*drawn(900))
    told = generated(found, resamples=2000, confidence=0.95, stream=numpy_stream(0, "test"))
    low, high = told.intervals["hit_ratio@1_valid"] or (1.0, 0.0)
    share = told.figures["hit_ratio@1_valid"] or 0.0
    normal = 2 * 1.96 * np.sqrt(share * (1 - share) / told.valid)
    assert low < share < high
    assert high - low == pytest.approx(normal, rel=0.1)


@pytest.mark.parametrize(
    ("said", "titles", "truth", "what"),
    [
        (SAID[:2], TITLES[:2], [0], "2 answers, 2 rows of candidates"),
        (SAID[:2], TITLES[:1], [0, 0], "2 answers, 1 rows of candidates"),
        (SAID[:1], TITLES[:1], [3], "row 0 is none of its 3 candidates"),
    ],
)
def test_what_does_not_fit_is_refused(
    said: list[str], titles: list[list[str]], truth: list[int], what: str
) -> None:
    with pytest.raises(RecloraError, match=what):
        named(said, titles, truth)


def test_a_difference_of_means_is_resampled_in_pairs() -> None:
    """Hits that differ in one row of 100 have a narrow difference, however wide each mean is."""
    ours = np.arange(100) % 2.0
    theirs = ours.copy()
    theirs[1] = 0
    found = difference(
        RowFigure.mean(ours), RowFigure.mean(theirs), **RESAMPLING, stream=numpy_stream(0, "test")
    )
    assert found.value == pytest.approx(0.01)
    assert (found.low, found.significant) == (0, False)
    assert 0.01 <= (found.high or 0) <= 0.04
    assert (found.p or 0) > 0.3


def test_every_figure_of_answers_and_of_a_ranking_can_be_compared() -> None:
    better, worse = named(*drawn(600)), named(["nothing"] * 600, *drawn(600)[1:])
    ranks = np.random.default_rng(0).integers(1, 21, 600)
    pairs = {name: (figure, worse.by_row[name]) for name, figure in better.by_row.items()}
    for name, values in ranking.by_row(ranks).items():
        last = ranking.by_row(np.full(600, 20))[name]
        pairs[f"ranking {name}"] = (RowFigure.mean(values), RowFigure.mean(last))
    for name, (ours, theirs) in pairs.items():
        found = difference(ours, theirs, **RESAMPLING, stream=numpy_stream(0, "test"))
        if name == "hit_ratio@1_valid":
            assert found.value is None is found.p
            continue
        assert found.value == pytest.approx((ours.value or 0) - (theirs.value or 0))
        assert 0 < (found.low or 0) < (found.value or 0) < (found.high or 0)
        assert found.significant


def test_the_same_model_twice_differs_in_nothing() -> None:
    figure = named(SAID, TITLES, TRUTH).by_row["hit_ratio@1_valid"]
    found = difference(figure, figure, **RESAMPLING, stream=numpy_stream(0, "test"))
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_one_row_has_a_difference_without_an_interval() -> None:
    found = difference(
        RowFigure.mean([1]), RowFigure.mean([0]), **RESAMPLING, stream=numpy_stream(0, "test")
    )
    assert (found.value, found.low, found.high, found.p) == (1, None, None, None)


def test_figures_of_unlike_rows_are_refused() -> None:
    with pytest.raises(RecloraError, match="2 rows do not fit figures of 1"):
        difference(
            RowFigure.mean([1, 0]), RowFigure.mean([0]), **RESAMPLING, stream=numpy_stream(0, "t")
        )


def test_mcnemars_exact_p_is_the_published_one() -> None:
    """Fagerland, Lydersen and Laake (2013), BMC Med Res Methodol 13:91: 1 and 7 discordant pairs
    of 21 give an exact conditional p of 0.070."""
    before = np.repeat([1, 1, 0, 0], [1, 1, 7, 12])
    after = np.repeat([1, 0, 1, 0], [1, 1, 7, 12])
    found = mcnemar(before, after)
    assert (found.ours, found.theirs) == (1, 7)
    assert found.p == pytest.approx(18 / 256)
    assert round(found.p, 3) == 0.070


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (0, 1), (3, 3), (2, 9), (40, 25), (700, 600)])
def test_the_p_value_is_scipys(ours: int, theirs: int) -> None:
    expected = binomtest(ours, ours + theirs).pvalue if ours + theirs else 1.0
    assert binomial_p(ours, theirs) == pytest.approx(expected, rel=1e-9)
    assert binomial_p(theirs, ours) == binomial_p(ours, theirs)


def test_shares_of_a_hit_count_for_the_larger() -> None:
    found = mcnemar([1, 0.5, 0.5, 0], [0.5, 0, 0.5, 1])
    assert (found.ours, found.theirs) == (2, 1)


def test_hits_of_unlike_rows_are_refused() -> None:
    with pytest.raises(RecloraError, match="do not fit"):
        mcnemar([1, 0], [1])
