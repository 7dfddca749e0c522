"""A person at the terminal searches titles and rates them: the history of somebody new."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reclora_cli.cli import ask
from reclora_cli.cli.console import Console
from reclora_cli.data import schema
from reclora_cli.data.lookup import near_titles, titles_with
from reclora_cli.data.rated import Rated, rating_of
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError, UsageError

SHOWN = 9
"""Titles of a search: the most rated ones."""

_WANTED = 5


def rated_titles(console: Console, folder: Path) -> list[Rated]:
    """What the person rates of the store in ``folder``, in the order given.

    Raises:
        UsageError: nothing was rated.
    """
    store = InteractionsStore(folder)
    ratings = ", ".join(f"{value:g}" for value in store.header.rating_values)
    console.say(
        f"Rate some {store.header.noun}s you know, five or more: words of a title, its number, "
        f"your rating ({ratings}). Enter ends it."
    )
    found: dict[int, Rated] = {}
    while words := ask.text_or_nothing(f"{_counted(found)} Title"):
        item = _chosen(console, store, words)
        if item is not None:
            rating = _rating(console, store)
            found.pop(item, None)
            found[item] = Rated(item, rating)
            console.say(f"  {_title(store, item)}: {rating:g}")
    if not found:
        raise UsageError("nothing was rated", where="--history", hint="Or name a --user.")
    return list(found.values())


def _chosen(console: Console, store: InteractionsStore, words: str) -> int | None:
    """The item that the person means; ``None`` to search again."""
    titles = store.items[schema.TITLE].tolist()
    found = titles_with(words, titles)
    if not found:
        console.say(f"No title holds {words!r}. Near ones:")
        found = near_titles(words, titles)
    times = np.bincount(store.item, minlength=store.header.items)
    shown = sorted(found, key=lambda item: -times[item])[:SHOWN]
    if len(found) > SHOWN:
        console.say(f"{len(found)} titles, the {SHOWN} most rated of them:")
    for number, item in enumerate(shown, start=1):
        same = sum(titles[other] == titles[item] for other in shown) > 1
        told = f", id {store.items[schema.ITEM].iloc[item]}" if same else ""
        console.say(f"  {number}  {titles[item]}{told}")
    while given := ask.text_or_nothing("Number (Enter: search again)"):
        if given.isdecimal() and 1 <= int(given) <= len(shown):
            return shown[int(given) - 1]
        console.say(f"{given!r} is not one of them.")
    return None


def _rating(console: Console, store: InteractionsStore) -> float:
    while True:
        try:
            return rating_of(ask.text("Rating"), store, "rating")
        except RecloraError as error:
            console.say(f"{error.what}. {error.hint}")


def _counted(found: dict[int, Rated]) -> str:
    return f"[{len(found)} of {_WANTED}]" if len(found) < _WANTED else f"[{len(found)}]"


def _title(store: InteractionsStore, item: int) -> str:
    return str(store.items[schema.TITLE].iloc[item])
