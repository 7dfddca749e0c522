"""From what a person types to a dense id, with an error that helps when nothing is called so."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from reclora_cli.errors import UsageError

_NEAR = 3


def written_name(value: object) -> str | None:
    """An id or a title as text, of a value that JSON holds; ``None`` where it can be neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value)


def find_id(text: str, ids: Sequence[object], kind: str, where: str) -> int:
    """Place of the source id ``text`` among ``ids`` (ascending, in dense order).

    Raises:
        UsageError: no such id; says how ids look and names near ones.
    """
    typed = str(text).strip()
    for place, known in enumerate(ids):
        if str(known) == typed:
            return place
    near = ", ".join(near_ids(typed, ids))
    raise UsageError(
        f"unknown {kind} {typed!r}: {_looks(ids)}", where=where, hint=f"Near ones: {near}."
    )


def near_ids(typed: str, ids: Sequence[object], n: int = _NEAR) -> list[str]:
    """The ``n`` ids closest to ``typed``: in value for numbers, in spelling otherwise."""
    if all(isinstance(known, int) for known in ids):
        digits = re.search(r"-?\d+", typed)
        aim = int(digits.group()) if digits else 0
        closest = sorted(ids, key=lambda known: abs(int(str(known)) - aim))[:n]
        return [str(known) for known in sorted(closest, key=lambda known: int(str(known)))]
    names = [str(known) for known in ids]
    return difflib.get_close_matches(typed, names, n=n, cutoff=0) or names[:n]


def find_title(
    text: str, ids: Sequence[object], titles: Sequence[str], noun: str, where: str
) -> int:
    """Place of the item whose id or title is ``text``.

    A title fits when it is equal but for case, or equal but for the year at its end.

    Raises:
        UsageError: none fits (near titles are named), or several do (their ids are named).
    """
    typed = str(text).strip()
    for fits in (_same_id, _same_title, _same_but_year):
        places = fits(typed, ids, titles)
        if len(places) == 1:
            return places[0]
        if places:
            several = ", ".join(f"{ids[at]} {titles[at]}" for at in places)
            raise UsageError(
                f"{len(places)} {noun}s are called {typed!r}: {several}",
                where=where,
                hint="Give the id instead.",
            )
    near = "; ".join(f"{ids[at]} {titles[at]}" for at in near_titles(typed, titles))
    raise UsageError(
        f"unknown {noun} {typed!r}: give a title as in {titles[0]!r}, or an id; {_looks(ids)}",
        where=where,
        hint=f"Near ones: {near}.",
    )


def near_titles(typed: str, titles: Sequence[str], n: int = _NEAR) -> list[int]:
    """Places of the ``n`` titles closest to ``typed``: those that contain it first."""
    folded = [title.casefold() for title in titles]
    containing = [at for at, title in enumerate(folded) if typed and typed.casefold() in title]
    close = difflib.get_close_matches(typed.casefold(), folded, n=n, cutoff=0)
    return list(dict.fromkeys(containing + [folded.index(title) for title in close]))[:n]


def without_year(title: str) -> str:
    """``Heat (1995)`` -> ``heat``."""
    return re.sub(r"\s*\(\d{4}\)\s*$", "", title).casefold()


def titles_with(words: str, titles: Sequence[str]) -> list[int]:
    """Places of the titles that hold each of ``words``, or a word that begins so."""
    wanted = _words(words)
    if not wanted:
        return []
    return [
        at
        for at, title in enumerate(titles)
        if all(any(said.startswith(word) for said in _words(title)) for word in wanted)
    ]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _same_id(typed: str, ids: Sequence[object], titles: Sequence[str]) -> list[int]:
    return [at for at, known in enumerate(ids) if str(known) == typed]


def _same_title(typed: str, ids: Sequence[object], titles: Sequence[str]) -> list[int]:
    return [at for at, title in enumerate(titles) if title.casefold() == typed.casefold()]


def _same_but_year(typed: str, ids: Sequence[object], titles: Sequence[str]) -> list[int]:
    return [at for at, title in enumerate(titles) if without_year(title) == typed.casefold()]


def _looks(ids: Sequence[object]) -> str:
    """How ids of this dataset look, as a clause."""
    if all(isinstance(known, int) for known in ids):
        return f"ids are whole numbers from {ids[0]} to {ids[-1]}"
    return f"ids look like {ids[0]!r}"
