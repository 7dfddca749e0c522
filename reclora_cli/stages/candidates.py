"""Which items ``recommend`` asks the LLM about: the best of all that the user has not seen.

By the CRM, all of them are scored in one go. By ``similar``, an item counts as much as its cosine
to the liked behaviour it is most like, in the vectors of the index (FAISS).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.lookup import written_name
from reclora_cli.data.lookup_many import IdsOrTitles
from reclora_cli.data.reading.blocks import read_blocks
from reclora_cli.data.reading.json_lines import numbered_lines
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError, UsageError, did_you_mean
from reclora_cli.stages.asked_user import AskedUser
from reclora_cli.stages.explaining.item_traits import item_genres

By = Literal["crm", "similar"]
Items = NDArray[np.int64]
Figures = NDArray[np.float64]

_A_LINE = 'A title or an id a line, or {"item": "Heat (1995)"}.'


@dataclass(frozen=True)
class Pool:
    """What may be recommended, before anything is scored.

    Attributes:
        items: dense ids, ascending.
        seen: items left out because the user has seen them.
    """

    items: Items
    seen: int


@dataclass(frozen=True)
class Candidates:
    """The best of a pool, best first.

    Attributes:
        items: (n,) dense ids.
        crm: (n,) P(like) by the CRM; ``None`` where there is none.
        crm_rank: (n,) place among the pool by the CRM, from 1; ``None`` likewise.
        similarity: (n,) cosine to the nearest liked behaviour; ``None`` unless chosen by it.
    """

    items: Items
    crm: Figures | None
    crm_rank: Items | None
    similarity: Figures | None


def pool(
    asked: AskedUser,
    genres: Sequence[str],
    named: Items | None,
    *,
    where: tuple[str, str] = ("--genre", "--from-candidates"),
) -> Pool:
    """What the user has not seen, of ``named`` and of ``genres`` where they are given.

    Args:
        where: what errors call the two.

    Raises:
        UsageError: an unknown genre, or nothing is left.
    """
    store = asked.sources.store
    wanted = np.arange(store.header.items) if named is None else named
    left = np.intersect1d(wanted, asked.unseen_items)
    seen = len(np.unique(wanted)) - len(left)
    if genres:
        left = left[_of_genres(store, genres, where[0])[left]]
    if not len(left):
        given = [*([where[0]] if genres else []), *([] if named is None else [where[1]])]
        raise UsageError(
            "nothing is left to recommend that the user has not seen",
            where=" and ".join(given) or None,
            hint="Widen what may be recommended." if given else None,
        )
    return Pool(left, seen)


def best(asked: AskedUser, of: Pool, by: By, count: int, *, with_crm: bool) -> Candidates:
    """The ``count`` best of a pool, or all where it holds fewer.

    Args:
        with_crm: the CRM is there to be asked.

    Raises:
        UsageError: by similarity, and the user likes nothing.
        MissingInputError: by similarity, and there is no index.
    """
    crm = _by_crm(asked, of.items) if with_crm else None
    if by == "similar":
        chosen, similarity = _by_similarity(asked, of.items, count)
        at = np.searchsorted(of.items, chosen)
    else:
        assert crm is not None
        at, similarity = np.argsort(-crm, kind="stable")[:count], None
    if crm is None:
        return Candidates(of.items[at], None, None, similarity)
    rank = np.empty(len(crm), dtype=np.int64)
    rank[np.argsort(-crm, kind="stable")] = np.arange(1, len(crm) + 1)
    return Candidates(of.items[at], crm[at], rank[at], similarity)


def genres_of(store: InteractionsStore) -> list[str]:
    """What an item's genre may be; nothing where items have none."""
    return item_genres(store)[1]


def read_candidates(file: Path, store: InteractionsStore) -> Items:
    """Dense ids of the items that ``file`` names, one a line: a title, an id, or JSON lines with
    ``item``.

    Raises:
        MissingInputError: no such file.
        UsageError: an unknown item: names the line, and near ones.
        RecloraError: the file is empty, or a line is broken.
    """
    named = [
        (number, _named(line, file, number))
        for block in read_blocks(file)
        for number, line in numbered_lines(block)
    ]
    if not named:
        raise RecloraError("no candidate is in it", where=str(file), hint=_A_LINE)
    known = IdsOrTitles(store.items[schema.ITEM].tolist(), store.items[schema.TITLE].tolist())
    found = known.places([name for _, name in named])
    for at in np.flatnonzero(found < 0):
        number, name = named[at]
        found[at] = store.find_item(
            name, f"{file}:{number}"
        )  # It says what is wrong, and near ones.
    return found


def require_genres(store: InteractionsStore, genres: Sequence[str], where: str) -> None:
    """That the store's items may be of each of ``genres``, whoever is asked about.

    Raises:
        UsageError: at ``where``, one is unknown, with near ones.
    """
    if genres:
        _of_genres(store, genres, where)


def _named(line: bytes, file: Path, number: int) -> str:
    try:
        text = line.decode("utf-8").removeprefix("\ufeff").strip()
    except UnicodeDecodeError:
        raise RecloraError(
            "the line is not UTF-8", where=f"{file}:{number}", hint="Save the file as UTF-8."
        ) from None
    if not text.startswith("{"):
        return text
    try:
        name = written_name(json.loads(text)["item"])
    except (ValueError, KeyError):
        name = None
    if name is None:
        raise RecloraError("the line names no 'item'", where=f"{file}:{number}", hint=_A_LINE)
    return name


def _by_crm(asked: AskedUser, items: Items) -> Figures:
    sources, questions = asked.sources, asked.ask(items)
    positions = sources.crm_behaviours(questions)
    return sources.crm.score_pairs(questions.users, questions.items, positions, questions.ends)


def _by_similarity(asked: AskedUser, items: Items, count: int) -> tuple[Items, Figures]:
    sources = asked.sources
    liked = asked.liked_items(sources.recipe.retriever.long)
    found, cosines = sources.catalogue.nearest_of(liked, items, count)
    return found.astype(np.int64), cosines.astype(np.float64)


def _of_genres(store: InteractionsStore, genres: Sequence[str], where: str) -> NDArray[np.bool_]:
    """(items,) whether an item is of one of them."""
    of_items, names = item_genres(store)
    if not names:
        raise UsageError(f"the items of {store.header.dataset} have no genre", where=where)
    known = {name.casefold(): at for at, name in enumerate(names)}
    for genre in genres:
        if genre.casefold() not in known:
            raise UsageError(
                f"unknown genre {genre!r}", where=where, hint=did_you_mean(genre, names)
            )
    wanted = of_items[:, [known[genre.casefold()] for genre in genres]]
    return np.logical_or.reduce(wanted, axis=1, dtype=np.bool_)
