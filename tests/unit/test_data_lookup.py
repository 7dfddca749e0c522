"""Looking up users and items by what a person types."""

from __future__ import annotations

import pytest

from reclora_cli.data.lookup import find_id
from reclora_cli.errors import UsageError
from tests.world import TinyWorld, movie_id, user_id


def test_user_is_found_by_source_id(tiny_world: TinyWorld) -> None:
    assert tiny_world.store.find_user(str(user_id(4))) == 4
    assert tiny_world.store.find_user(f" {user_id(29)} ") == 29


def test_unknown_user_is_told_how_ids_look_and_which_are_near(tiny_world: TinyWorld) -> None:
    with pytest.raises(UsageError) as caught:
        tiny_world.store.find_user("42")
    assert str(caught.value) == (
        "--user: unknown user '42': ids are whole numbers from 1 to 88\nNear ones: 40, 43, 46."
    )
    assert caught.value.exit_code == 2


def test_user_that_is_no_number_is_told_how_ids_look(tiny_world: TinyWorld) -> None:
    with pytest.raises(UsageError, match="ids are whole numbers from 1 to 88"):
        tiny_world.store.find_user("bob")


def test_unknown_text_id_names_the_closest_in_spelling() -> None:
    with pytest.raises(UsageError, match="ids look like 'A1'") as caught:
        find_id("B22", ["A1", "B2", "C3"], "user", "--user")
    assert "Near ones: B2" in str(caught.value)


@pytest.mark.parametrize("typed", ["Heat 4 (1984)", "heat 4 (1984)", "Heat 4", str(movie_id(4))])
def test_item_is_found_by_id_title_or_title_without_year(tiny_world: TinyWorld, typed: str) -> None:
    assert tiny_world.store.find_item(typed) == 4


def test_title_with_accent_and_apostrophe_is_found(tiny_world: TinyWorld) -> None:
    assert tiny_world.store.find_item("Café au Lait 3 (1983)") == 3
    assert tiny_world.store.find_item("schindler's list 2") == 2


def test_unknown_title_names_near_ones_with_their_ids(tiny_world: TinyWorld) -> None:
    with pytest.raises(UsageError, match="unknown movie 'Haet 4'") as caught:
        tiny_world.store.find_item("Haet 4")
    assert f"{movie_id(4)} Heat 4 (1984)" in str(caught.value.hint)


def test_part_of_a_title_names_the_titles_that_contain_it(tiny_world: TinyWorld) -> None:
    with pytest.raises(UsageError) as caught:
        tiny_world.store.find_item("Crying")
    assert str(caught.value.hint).count("Crying Game, The") == 3


def test_title_of_several_items_asks_for_the_id(tiny_copy: TinyWorld) -> None:
    store = tiny_copy.store
    store.items.loc[[1, 2], "title"] = ["Twins (1988)", "Twins (1990)"]
    with pytest.raises(UsageError, match="2 movies are called 'Twins'") as caught:
        store.find_item("Twins")
    assert f"{movie_id(1)} Twins (1988)" in caught.value.what
