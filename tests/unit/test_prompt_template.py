"""The prompt is the template of RecLoRA's Fig. 2 to the character."""

from __future__ import annotations

import ast

import pytest

from reclora_cli.prompt.movies import MOVIES_WITH_PROFILE

WRITER = {"gender": "male", "job": "writer", "age": "35-44"}


def _lines(
    profile: dict[str, str] = WRITER, behaviours=(), target: str = "Heat (1995)"
) -> list[str]:
    return MOVIES_WITH_PROFILE.render(profile, behaviours, target).split("\n")


def test_the_example_of_the_paper():
    expected = (
        "The user is a male. His job is writer. His age is 35-44.\n"
        "He watched the following movies in order in the past, and rated them:\n"
        "['0. Pump Up the Volume (1990) (4 stars)', '1. Crying Game, The (1992) (1 star)']\n"
        "Based on the movies he has watched, "
        "deduce if he will like the movie ***Titanic (1997)***.\n"
        "Note that more stars the user rated the movie, the user like the movie more.\n"
        "You should ONLY tell me yes or no."
    )
    behaviours = [("Pump Up the Volume (1990)", 4.0), ("Crying Game, The (1992)", 1.0)]
    assert MOVIES_WITH_PROFILE.render(WRITER, behaviours, "Titanic (1997)") == expected


def test_a_woman_is_she_and_her():
    lines = _lines({"gender": "female", "job": "K-12 student", "age": "under 18"})
    assert lines[0] == "The user is a female. Her job is K-12 student. Her age is under 18."
    assert lines[1].startswith("She watched ")
    assert lines[3].startswith("Based on the movies she has watched, deduce if she will like ")


@pytest.mark.parametrize(
    ("stars", "words"),
    [(1.0, "1 star"), (2.0, "2 stars"), (5.0, "5 stars"), (0.5, "0.5 stars"), (3.5, "3.5 stars")],
)
def test_stars_are_counted_as_one_says_them(stars: float, words: str):
    assert _lines(behaviours=[("Heat (1995)", stars)])[2] == f"['0. Heat (1995) ({words})']"


def test_a_title_with_an_apostrophe_stands_in_double_quotes():
    behaviours = [("Schindler's List (1993)", 5.0), ("Heat (1995)", 4.0)]
    assert _lines(behaviours=behaviours)[2] == (
        "[\"0. Schindler's List (1993) (5 stars)\", '1. Heat (1995) (4 stars)']"
    )


def test_the_list_is_python_whatever_the_titles_hold():
    titles = ['Say "It\'s" (1990)', "Café au Lait (1993)", "Back\\slash (1999)"]
    found = ast.literal_eval(_lines(behaviours=[(title, 3.0) for title in titles])[2])
    assert found == [f"{at}. {title} (3 stars)" for at, title in enumerate(titles)]


def test_without_behaviours_the_list_is_empty_and_every_other_line_the_same():
    empty, full = _lines(), _lines(behaviours=[("Heat (1995)", 4.0)])
    assert empty[2] == "[]"
    assert empty[:2] + empty[3:] == full[:2] + full[3:]


def test_item_text_of_the_paper():
    text = MOVIES_WITH_PROFILE.item_text({"title": "Toy Story (1995)", "genre": "Animation"})
    assert text == (
        "Here is a movie. Its title is Toy Story (1995). The movie's genre is Animation."
    )
