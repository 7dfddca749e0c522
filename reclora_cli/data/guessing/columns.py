"""Which column is which, by its name and by what it holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reclora_cli.data.guessing.sample import Sample
from reclora_cli.data.reading.values import TimeFormat, missing
from reclora_cli.errors import RecloraError
from reclora_cli.recipe.tables import RatingRecipe, TimeRecipe

USERS = ("user", "reviewer", "customer", "member", "visitor", "account", "profile", "person")
ITEMS = (
    *("item", "movie", "film", "book", "isbn", "asin", "product", "game", "app", "song", "track"),
    *("artist", "article", "news", "video", "recipe", "restaurant", "business", "beer", "anime"),
)
"""Words of the columns of users and items, the usual ones first."""

_RATINGS = ("rating", "overall", "stars", "score", "recommend", "liked", "like", "label", "vote")
_TIMES = ("timestamp", "unix", "time", "date", "posted", "created", "added", "when", "ts", "day")

_LIKES = ("true", "yes", "like", "liked", "1", "recommended", "positive", "up")
_DISLIKES = ("false", "no", "dislike", "disliked", "0", "not recommended", "negative", "down")

_PATTERNS: tuple[str, ...] = (
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%m %d, %Y",
    "%B %d, %Y",
)
_PATTERNS += ("%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%a %b %d %H:%M:%S %z %Y")
_FORMATS = ("seconds", "milliseconds", "microseconds", "%Y-%m-%d", "iso8601", *_PATTERNS)
_LOOKED_AT = 2000
_MOSTLY = 0.2
_SCALE = 21

NULLS = ("NULL", "null", "\\N", "NA", "N/A", "NaN", "nan", "None")
UNNAMED = "CHANGE_ME"
"""Stands where no column looks right."""


@dataclass(frozen=True)
class Roles:
    """What the columns of an interactions file seem to be.

    Attributes:
        user: column of users, or ``UNNAMED``; ``item`` likewise.
        rating: the rating column and its scale.
        like_from: the rating from which on it is a like.
        time: the time column, or ``None``.
        empty: texts that mean that there is no value.
    """

    user: str
    item: str
    rating: RatingRecipe
    like_from: float
    time: TimeRecipe | None
    empty: tuple[str, ...]


def guess_roles(sample: Sample) -> Roles:
    """What each column of ``sample`` seems to be."""
    names = list(sample.columns)
    if sample.file.dialect.header is not None:
        return _by_content(sample)
    user = _named(names, USERS)
    item = _named([name for name in names if name != user], ITEMS)
    others = [name for name in names if name not in {user, item}]
    time = _time(sample, [name for name in others if set(words_of(name)) & set(_TIMES)])
    rating_column = _named(
        [name for name in others if time is None or name != time.column], _RATINGS
    )
    rating, like_from = _rating(sample, rating_column)
    return _roles(sample, user, item, rating, like_from, time)


def _roles(
    sample: Sample,
    user: str | None,
    item: str | None,
    rating: RatingRecipe,
    like_from: float,
    time: TimeRecipe | None,
) -> Roles:
    said = [user, item, *([time.column] if time else [])]
    empty = found_nulls(sample, [name for name in said if name is not None])
    return Roles(user or UNNAMED, item or UNNAMED, rating, like_from, time, empty)


def _by_content(sample: Sample) -> Roles:
    """Of a file without names: a time, a scale of few values, and of the rest user, then item."""
    names = list(sample.columns)
    time = _time(sample, names)
    others = [name for name in names if time is None or name != time.column]
    sizes = {name: len(sample.columns[name].unique()) for name in others}
    scales = [name for name in others if sizes[name] <= _SCALE]
    rating = min(scales, key=lambda name: sizes[name], default=None)
    user, item, *_ = [*(name for name in others if name != rating), None, None]
    return _roles(sample, user, item, *_rating(sample, rating), time)


def found_nulls(sample: Sample, names: Sequence[str]) -> tuple[str, ...]:
    """The empty text, and other texts of these columns that mean that there is no value."""
    nulls = pa.array(NULLS)
    met: set[str] = set()
    for name in names:
        values = sample.columns[name]
        met |= set(values.filter(pc.is_in(values, value_set=nulls)).unique().to_pylist())
    return ("", *(null for null in NULLS if null in met))


def words_of(name: str) -> list[str]:
    """``unixReviewTime`` -> unix, review, time."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.findall(r"[a-z0-9]+", spaced.lower())


def _named(names: Sequence[str], known: Sequence[str]) -> str | None:
    """The name that says one of ``known``: as a word, then within one; ids before others."""

    def rank(name: str) -> tuple[int, int, int]:
        words = words_of(name)
        whole = [at for at, word in enumerate(known) if word in words or word + "s" in words]
        part = [at for at, word in enumerate(known) if len(word) > 3 and word in "".join(words)]
        best = min(whole, default=len(known)), min(part, default=len(known))
        is_id = "".join(words).endswith("id") or "".join(words) in known
        return (0 if whole else 1 if part else 2, 0 if is_id else 1, min(best))

    found = [name for name in names if rank(name)[0] < 2]
    return min(found, key=rank) if found else None


# -- time -----------------------------------------------------------------------------------------


def _time(sample: Sample, names: Sequence[str]) -> TimeRecipe | None:
    """The column whose values are times; plain seconds before other formats."""
    found = []
    for name in names:
        values = sample.columns[name]
        none = missing(values, ("", *NULLS))
        known = values.filter(pa.array(~none))
        form = _format_of(known.slice(0, _LOOKED_AT)) if len(known) else None
        if form is not None:
            absent: Literal["drop", "error"] = "drop" if none.any() else "error"
            found.append(
                (_FORMATS.index(form), TimeRecipe(column=name, format=form, missing=absent))
            )
    return min(found, key=lambda each: each[0])[1] if found else None


def _format_of(values: pa.Array) -> str | None:
    """The format that most values have: a few lines of a dirty file may not."""
    for form in _FORMATS:
        try:
            times = TimeFormat(form).seconds(values, "", str)
        except RecloraError:
            continue
        # Numbers of these sizes are times after 1980, not years or counts.
        if form in {"seconds", "milliseconds", "microseconds"} and np.median(times) < 3.2e8:
            continue
        return form
    return None


# -- rating ---------------------------------------------------------------------------------------


def _rating(sample: Sample, name: str | None) -> tuple[RatingRecipe, float]:
    if name is None:
        return RatingRecipe(column=UNNAMED), 4.0
    values = sample.columns[name]
    labels = _labels(values)
    if labels is not None:
        like, dislike = labels
        return RatingRecipe(column=name, like=like, dislike=dislike), 1.0
    return _scale(name, values)


def _labels(values: pa.Array) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    distinct = [value for value in values.unique().to_pylist() if value]
    like = tuple(sorted(value for value in distinct if value.lower() in _LIKES))
    dislike = tuple(sorted(value for value in distinct if value.lower() in _DISLIKES))
    numeric = set(distinct) <= {"0", "1"}
    if not distinct or len(like) + len(dislike) != len(distinct) or (numeric and not dislike):
        return None
    return (like, dislike) if like and dislike else None


def _scale(name: str, values: pa.Array) -> tuple[RatingRecipe, float]:
    """Stars of 1 to 5, half stars, 1 to 10, or what is found; a frequent 0 below means none."""
    empty = missing(values, ("", *NULLS))
    absent: tuple[float | str, ...] = ("",) if empty.any() else ()
    try:
        found = values.filter(pa.array(~empty)).cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return RatingRecipe(column=name), 4.0
    if not len(found):
        return RatingRecipe(column=name), 4.0
    distinct = np.unique(found)
    if distinct[0] == 0 and np.mean(found == 0) > _MOSTLY and len(distinct) > 2:
        absent, distinct = (0.0, *absent), distinct[1:]
    low, high = float(distinct[0]), float(distinct[-1])
    whole = bool(np.all(distinct == np.floor(distinct)))
    if whole and low >= 1 and high <= 5:
        scale = RatingRecipe(column=name, values=(1.0, 2.0, 3.0, 4.0, 5.0), none=absent)
        return scale, 4.0
    if np.all(distinct * 2 == np.floor(distinct * 2)) and low >= 0.5 and high <= 5:
        halves = tuple(half / 2 for half in range(1, 11))
        return RatingRecipe(column=name, values=halves, none=absent), 3.5
    if whole and low >= 1 and high <= 10:
        return RatingRecipe(column=name, between=(1.0, 10.0), none=absent), 7.0
    wanted = low + 0.65 * (high - low)
    like_from = float(distinct[np.searchsorted(distinct, wanted)])
    return RatingRecipe(column=name, none=absent), like_from
