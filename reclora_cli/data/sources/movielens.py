"""What the MovieLens datasets share: wording of profiles, terms, and checks across files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from reclora_cli.data import schema
from reclora_cli.errors import RecloraError

USER_FIELDS = (schema.USER, schema.GENDER, schema.AGE, schema.JOB, schema.ZIPCODE)
ITEM_FIELDS = (schema.ITEM, schema.TITLE, schema.GENRE)
STARS = (1.0, 2.0, 3.0, 4.0, 5.0)

TERMS = (
    "MovieLens data may be used for research; acknowledge it in publications. It may not be "
    "redistributed, nor used for commercial or revenue-bearing purposes without permission of "
    "GroupLens, University of Minnesota."
)

# In the order of u.genre.
ML_100K_GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)

GENDERS = {"M": "male", "F": "female"}

_AGE_FROM = np.array([0, 18, 25, 35, 45, 50, 56])
_AGE_GROUPS = np.array(["under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "above 56"])


def age_groups(ages: pd.Series) -> pd.Series:
    """The prompt's wording of an age in years, or of ML-1M's code (a group's first year)."""
    at = np.searchsorted(_AGE_FROM, ages.to_numpy(), side="right") - 1
    return pd.Series(_AGE_GROUPS[at], index=ages.index, dtype="str")


def worded(codes: pd.Series, words: dict[str, str] | dict[int, str], file: Path) -> pd.Series:
    """``words`` in place of the source's codes.

    Raises:
        RecloraError: a code without a word, with its line.
    """
    texts = codes.map(words)
    if texts.isna().any():
        line = int(np.flatnonzero(texts.isna())[0])
        raise RecloraError(
            f"{codes.iloc[line]!r} is not a known {codes.name}",
            where=f"{file}:{line + 1}",
            hint=f"Expected one of {', '.join(map(str, words))}.",
        )
    return texts.astype("str")


def check_unique(table: pd.DataFrame, column: str, file: Path) -> None:
    """Every value of ``column`` stands once.

    Raises:
        RecloraError: one stands twice, with the line of the second.
    """
    again = np.flatnonzero(table[column].duplicated())
    if len(again):
        line = int(again[0])
        raise RecloraError(
            f"{column} {table[column].iloc[line]} stands here a second time",
            where=f"{file}:{line + 1}",
        )


def check_known(
    interactions: pd.DataFrame, column: str, known: pd.DataFrame, file: Path, described_in: Path
) -> None:
    """Every user or item that is rated is described.

    Raises:
        RecloraError: one is not, with the line of its first rating.
    """
    strange = np.flatnonzero(~interactions[column].isin(known[column]))
    if len(strange):
        line = int(strange[0])
        raise RecloraError(
            f"{column} {interactions[column].iloc[line]} is not in {described_in.name}",
            where=f"{file}:{line + 1}",
            hint="Fetch the files again: they do not belong together.",
        )
