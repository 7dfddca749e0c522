"""MovieLens 100K: 100,000 ratings of 1,682 movies by 943 users, 1997 to 1998.

Prepared under ML-1M's protocol: ages fall into ML-1M's groups, and an item's genres stand in
the order of ``u.genre``, so its first genre is the first flag that is set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from reclora_cli.data import schema
from reclora_cli.data.sources import movielens
from reclora_cli.data.sources.base import (
    PackageAddress,
    RawDataset,
    Source,
    ZipAddress,
    whole,
)
from reclora_cli.data.sources.delimited import ID, SECONDS, Column, read_delimited
from reclora_cli.data.sources.rebuild import rebuild_ml_100k
from reclora_cli.errors import RecloraError

_RATINGS = (
    Column(schema.USER, ID),
    Column(schema.ITEM, ID),
    Column(schema.RATING, (1, 5)),
    Column(schema.TIME, SECONDS),
)
_USERS = (
    Column(schema.USER, ID),
    Column(schema.AGE, (1, 120)),
    Column(schema.GENDER),
    Column(schema.JOB),
    Column(schema.ZIPCODE),
)
_MOVIES = (
    Column(schema.ITEM, ID),
    Column(schema.TITLE),
    Column("release date"),
    Column("video release date"),
    Column("url"),
    *(Column(genre, (0, 1)) for genre in movielens.ML_100K_GENRES),
)


def read(folder: Path) -> RawDataset:
    """Read ``u.data``, ``u.user`` and ``u.item``.

    Raises:
        MissingInputError: one of them is not in ``folder``.
        RecloraError: one of them has a line that does not fit; file and line are named.
    """
    ratings, users, movies = (folder / name for name in ("u.data", "u.user", "u.item"))
    interactions = read_delimited(ratings, "\t", _RATINGS)
    people, films = _users(users), _movies(movies)
    movielens.check_known(interactions, schema.USER, people, ratings, users)
    movielens.check_known(interactions, schema.ITEM, films, ratings, movies)
    return whole(interactions, people, films, ratings)


def _users(file: Path) -> pd.DataFrame:
    users = read_delimited(file, "|", _USERS)
    movielens.check_unique(users, schema.USER, file)
    return users.assign(
        gender=movielens.worded(users[schema.GENDER], movielens.GENDERS, file),
        age=movielens.age_groups(users[schema.AGE]),
    )


def _movies(file: Path) -> pd.DataFrame:
    movies = read_delimited(file, "|", _MOVIES)
    movielens.check_unique(movies, schema.ITEM, file)
    genres = _genres(movies, file)
    return pd.DataFrame(
        {
            schema.ITEM: movies[schema.ITEM],
            schema.TITLE: movies[schema.TITLE].str.strip(),
            schema.GENRE: [names[0] for names in genres],
            schema.GENRES: genres,
        }
    )


def _genres(movies: pd.DataFrame, file: Path) -> list[list[str]]:
    flags = movies[list(movielens.ML_100K_GENRES)].to_numpy()
    without = np.flatnonzero(flags.sum(axis=1) == 0)
    if len(without):
        raise RecloraError("no genre flag is set", where=f"{file}:{int(without[0]) + 1}")
    return [[movielens.ML_100K_GENRES[at] for at in np.flatnonzero(row)] for row in flags]


SOURCE = Source(
    name="ml-100k",
    label="MovieLens 100K",
    noun="movie",
    terms=movielens.TERMS,
    terms_url="https://files.grouplens.org/datasets/movielens/ml-100k-README.txt",
    user_fields=movielens.USER_FIELDS,
    item_fields=movielens.ITEM_FIELDS,
    rating_values=movielens.STARS,
    files={
        "u.data": ("06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",),
        "u.item": (
            "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
            "7698249c0dabca2a0600405079b8f79ea3543313e8c309d13e08b68af34fe12e",
        ),
        "u.user": ("f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c",),
    },
    addresses=(
        ZipAddress("https://files.grouplens.org/datasets/movielens/ml-100k.zip"),
        PackageAddress(
            project="recbole",
            filename="recbole-1.2.1-py3-none-any.whl",
            sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
            members=tuple(
                f"recbole/dataset_example/ml-100k/ml-100k.{kind}"
                for kind in ("inter", "item", "user")
            ),
            rebuild=rebuild_ml_100k,
        ),
    ),
    read=read,
)
