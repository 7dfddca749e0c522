"""RecBole's atomic files back to GroupLens' files.

Two Python packages carry MovieLens in RecBole's form: tab-separated UTF-8 with a typed header.
ML-1M's three files come out byte for byte. ML-100K's ``u.data`` and ``u.user`` do too; its
``u.item`` lacks release dates and links, which nothing here reads, so those columns stay empty.
What comes out is checked against pinned SHA-256 values (``Source.files``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reclora_cli.data.sources import movielens
from reclora_cli.data.sources.base import Members

# MovieIDs that movies.dat skips between 1 and 3952.
_ML_1M_LAST = 3952
# fmt: off
_ML_1M_SKIPPED = frozenset((
    91, 221, 323, 622, 646, 677, 686, 689, 740, 817, 883, 995, 1048, 1072, 1074, 1182, 1195,
    1229, 1239, 1338, 1402, 1403, 1418, 1435, 1451, 1452, 1469, 1478, 1481, 1491, 1492, 1505,
    1506, 1512, 1521, 1530, 1536, 1540, 1560, 1576, 1607, 1618, 1634, 1637, 1638, 1691, 1700,
    1712, 1736, 1737, 1745, 1751, 1761, 1763, 1766, 1775, 1778, 1786, 1790, 1800, 1802, 1803,
    1808, 1813, 1818, 1823, 1828, 1838, 3815,
))
# fmt: on
# The one title that RecBole's form does not keep as it is.
_ML_1M_TITLES = {"Associate, The (L'Associe (1982)": "Associate, The (L'Associe)(1982)"}

# ML-100K's movie 267 has neither title nor year; RecBole's form misspells both.
_ML_100K_UNTITLED = {"unkonwn": "unknown"}


def rebuild_ml_1m(members: Members) -> Members:
    """``ratings.dat``, ``movies.dat`` and ``users.dat`` from ``ml-1m.{inter,item,user}``.

    There, items go by their title and users by ``1m_<UserID>``; the item file keeps the order
    of movies.dat, so the n-th title has the n-th MovieID.
    """
    items = list(_rows(members["ml-1m.item"]))
    ids = [number for number in range(1, _ML_1M_LAST + 1) if number not in _ML_1M_SKIPPED]
    movie_of = {row[0]: number for row, number in zip(items, ids, strict=True)}
    movies = (
        (number, _ML_1M_TITLES.get(title, title), genres.replace(" ", "|"))
        for (title, _, _, genres), number in zip(items, ids, strict=True)
    )
    users = (
        (user.removeprefix("1m_"), gender, age, job, zipcode)
        for user, age, gender, job, zipcode in _rows(members["ml-1m.user"])
    )
    ratings = (
        (user.removeprefix("1m_"), movie_of[title], stars, time)
        for user, title, stars, time in _rows(members["ml-1m.inter"])
    )
    return {
        "ratings.dat": _lines(ratings, "::"),
        "movies.dat": _lines(movies, "::"),
        "users.dat": _lines(users, "::"),
    }


def rebuild_ml_100k(members: Members) -> Members:
    """``u.data``, ``u.item`` and ``u.user`` from ``ml-100k.{inter,item,user}``."""
    return {
        "u.data": _lines(_rows(members["ml-100k.inter"]), "\t"),
        "u.item": _lines(map(_ml_100k_item, _rows(members["ml-100k.item"])), "|"),
        "u.user": _lines(_rows(members["ml-100k.user"]), "|"),
    }


def _ml_100k_item(row: Sequence[str]) -> list[str]:
    """One line of u.item: id, title, three empty columns, one flag for each genre."""
    item, title, year, genres = row
    full = _ML_100K_UNTITLED.get(title, f"{title} ({year})")
    named = genres.split(" ")
    flags = ["1" if genre in named else "0" for genre in movielens.ML_100K_GENRES]
    return [item, full, "", "", "", *flags]


def _rows(content: bytes) -> Iterator[list[str]]:
    """The lines after the header, split at tabs."""
    lines = content.decode("utf-8").replace("\r\n", "\n").rstrip("\n").split("\n")
    return (line.split("\t") for line in lines[1:])


def _lines(rows: Iterable[Sequence[object]], separator: str) -> bytes:
    return "".join(f"{separator.join(map(str, row))}\n" for row in rows).encode("latin-1")
