"""Many written ids and titles at once are the same items as one by one."""

from __future__ import annotations

import pytest

from reclora_cli.data.lookup import find_title
from reclora_cli.data.lookup_many import SEVERAL, UNKNOWN, Ids, IdsOrTitles
from reclora_cli.errors import UsageError

ITEMS = [7, 20, 33, 1984, 50]
TITLES = ["Heat (1995)", "Heat (1972)", "Été, L' (1980)", "Twenty", "1984"]
TYPED = ["7", " 20 ", "heat (1995)", "HEAT", "été, l'", "twenty", "1984", "33.0", "", "Nothing"]


def test_ids_are_found_as_they_are_written() -> None:
    assert Ids(["007", "7", "é"]).places(["7", "007 ", "é", "70"]).tolist() == [1, 0, 2, UNKNOWN]
    assert Ids([3, 12]).places(["12", "3", "03"]).tolist() == [1, 0, UNKNOWN]


def alone(typed: str) -> int:
    """The item that is found by itself, or what the error says."""
    try:
        return find_title(typed, ITEMS, TITLES, "movie", "--item")
    except UsageError as error:
        return SEVERAL if "are called" in str(error) else UNKNOWN


@pytest.mark.parametrize("typed", TYPED)
def test_an_item_is_the_one_that_is_found_alone(typed: str) -> None:
    assert IdsOrTitles(ITEMS, TITLES).places([typed]).tolist() == [alone(typed)]


def test_titles_of_several_items_and_of_none_are_told_apart() -> None:
    found = IdsOrTitles(ITEMS, TITLES).places(["heat", "nothing", "Heat (1972)", "1984"])
    assert found.tolist() == [SEVERAL, UNKNOWN, 1, 3]
