"""Numbers, times and sizes as people read them."""

from __future__ import annotations

import pytest

from reclora_cli.cli.render import figures


@pytest.mark.parametrize(
    ("seconds", "read"),
    [
        (0.0, "0.0 s"),
        (4.25, "4.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (75, "1 min 15 s"),
        (3600, "1 h 0 min"),
        (68400, "19 h 0 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, read: str):
    assert figures.duration(seconds) == read


@pytest.mark.parametrize(
    ("number", "read"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (4 * 1024**3, "4.0 GiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_sizes(number: int, read: str):
    assert figures.size(number) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (0.79314, ".7931"),
        (1.0, "1.0000"),
        (0.0, ".0000"),
        (-0.25, "-.2500"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_measures_as_papers_print_them(value: float | None, read: str):
    assert figures.measure(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [(0.0123, "+.0123"), (-0.0123, "-.0123"), (-0.00001, ".0000"), (0.0, ".0000"), (None, "–")],
)
def test_differences_carry_a_sign_unless_they_round_to_nothing(value: float | None, read: str):
    assert figures.difference(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [(0.0001, "<.001"), (0.001, ".001"), (0.41, ".410"), (1.0, "1.000"), (None, "–")],
)
def test_p_values(value: float | None, read: str):
    assert figures.p_value(value) == read


def test_intervals():
    assert figures.interval(0.789, 0.7972) == "[.7890, .7972]"
    assert figures.interval(None, None) == ""


@pytest.mark.parametrize(
    ("per_second", "unit", "read"),
    [(6000.0, "rows", "6,000 rows/s"), (0.42, "rows", "0.42 rows/s"), (12.3, "", "12/s")],
)
def test_rates(per_second: float, unit: str, read: str):
    assert figures.rate(per_second, unit) == read


@pytest.mark.parametrize(
    ("rating", "read"),
    [(5.0, "★★★★★"), (1.0, "★☆☆☆☆"), (3.5, "★★★½☆"), (0.5, "½☆☆☆☆"), (4.5, "★★★★½")],
)
def test_stars(rating: float, read: str):
    assert figures.stars(rating, 5.0) == read


def test_stars_of_another_scale_and_of_labels():
    assert figures.stars(7.0, 10.0) == "★★★★★★★☆☆☆"
    assert (figures.stars(1.0, 1.0), figures.stars(0.0, 1.0)) == ("★", "☆")


def test_a_relative_change_has_its_sign_and_is_a_percentage():
    assert figures.percent_change(0.0047) == "+0.47%"
    assert figures.percent_change(-0.37) == "-37.00%"
    assert figures.percent_change(None) == figures.percent_change(float("nan")) == "–"
