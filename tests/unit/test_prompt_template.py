"""The prompt is the template of RecLoRA's Fig. 2 to the character, and its kin's."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

import pytest

from reclora_cli import recipe
from reclora_cli.errors import UsageError
from reclora_cli.prompt.books import BOOKS
from reclora_cli.prompt.find import find_template
from reclora_cli.prompt.movies import MOVIES, MOVIES_WITH_PROFILE
from reclora_cli.prompt.plain import PLAIN
from reclora_cli.prompt.template import PromptTemplate, opinion

WRITER = {"gender": "male", "job": "writer", "age": "35-44"}

Behaviours = Sequence[tuple[str, float]]


def _prompt(
    template: PromptTemplate,
    profile: Mapping[str, str],
    behaviours: Behaviours,
    target: str,
    *,
    labels: bool = False,
    noun: str = "item",
) -> str:
    said = [
        template.behaviour.format_map({"title": title, **opinion(stars, stars >= 1, labels)})
        for title, stars in behaviours
    ]
    return template.render(profile, said, {"title": target}, noun)


def _lines(
    profile: Mapping[str, str] = WRITER, behaviours: Behaviours = (), target: str = "Heat (1995)"
) -> list[str]:
    return _prompt(MOVIES_WITH_PROFILE, profile, behaviours, target).split("\n")


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
    assert _prompt(MOVIES_WITH_PROFILE, WRITER, behaviours, "Titanic (1997)") == expected


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
    fields = {"title": "Toy Story (1995)", "genre": "Animation"}
    assert MOVIES_WITH_PROFILE.item == MOVIES.item
    assert MOVIES.item.format_map(fields) == (
        "Here is a movie. Its title is Toy Story (1995). The movie's genre is Animation."
    )


def test_movies_without_profiles_are_asked_about_as_method_md_says():
    behaviours = [("Pump Up the Volume (1990)", 4.0), ("Crying Game, The (1992)", 0.5)]
    assert _prompt(MOVIES, {}, behaviours, "Titanic (1997)") == (
        "The user watched the following movies in the past, and rated them:\n"
        "['0. Pump Up the Volume (1990) (4 stars)', '1. Crying Game, The (1992) (0.5 stars)']\n"
        "Based on the movies the user has watched, "
        "deduce if the user will like the movie ***Titanic (1997)***.\n"
        "Note that more stars the user rated the movie, the user like the movie more.\n"
        "You should ONLY tell me yes or no."
    )


def test_books_are_read():
    assert _prompt(BOOKS, {}, [("Emma", 1.0)], "Persuasion") == (
        "The user read the following books in the past, and rated them:\n"
        "['0. Emma (1 star)']\n"
        "Based on the books the user has read, "
        "deduce if the user will like the book ***Persuasion***.\n"
        "Note that more stars the user rated the book, the user like the book more.\n"
        "You should ONLY tell me yes or no."
    )
    fields = {"title": "Emma", "author": "Jane Austen", "year": "1815", "publisher": "Murray"}
    assert BOOKS.item.format_map(fields) == (
        "Here is a book. Its title is Emma. The book's author is Jane Austen. "
        "The book's publication year is 1815. The book's publisher is Murray."
    )


def test_the_plain_template_says_liked_where_a_rating_is_a_label():
    behaviours = [("Portal", 1.0), ("DEFCON", 0.0)]
    assert _prompt(PLAIN, {}, behaviours, "Ricochet", labels=True, noun="game") == (
        "The user rated the following in the past:\n"
        "['0. Portal (liked)', '1. DEFCON (disliked)']\n"
        "Based on them, deduce if the user will like the game ***Ricochet***.\n"
        "You should ONLY tell me yes or no."
    )


def test_a_user_of_no_stated_gender_is_the_user():
    lines = _lines({"gender": "", "job": "writer", "age": "35-44"})
    assert lines[0].endswith("The user's job is writer. The user's age is 35-44.")
    assert lines[1].startswith("The user watched ")


def test_a_template_knows_which_columns_it_says():
    template = MOVIES_WITH_PROFILE
    assert template.user_fields == {"gender", "job", "age"}
    assert template.behaviour_fields == template.target_fields == {"title"}
    assert template.text_fields == {"title", "genre"}
    assert MOVIES.user_fields == frozenset()


def test_texts_of_the_recipe_stand_in_place_of_the_templates():
    overrides = ["prompt.texts={item: 'A film called {title}.', profile: ''}"]
    found = find_template(recipe.load("ml-1m", overrides=overrides).prompt)
    assert (found.item, found.profile) == ("A film called {title}.", "")
    assert found.question == MOVIES_WITH_PROFILE.question


def test_double_braces_are_braces():
    template = PromptTemplate("{{{title}}}", "", "{title}", "{behaviours} {{}} {title}")
    assert template.item.format_map({"title": "Heat"}) == "{Heat}"
    assert template.render({}, ["Heat"], {"title": "Up"}) == "['0. Heat'] {} Up"


@pytest.mark.parametrize("text", ["{title", "{}", "{0}", "{a.b}", "{a[0]}", "{a!r}", "{a:>9}"])
def test_only_names_stand_in_braces(text: str):
    with pytest.raises(UsageError, match=r"prompt\.texts\.item"):
        PromptTemplate(text, "", "{title}", "{title}")
