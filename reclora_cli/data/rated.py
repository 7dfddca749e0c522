"""What somebody new has rated: read from a file of JSON lines, or given as pairs.

    {"item": "Heat (1995)", "rating": 4}
    {"item": 1210, "rating": 5, "time": "2000-12-31"}

``item`` is a title or the id as the dataset writes it; ``time`` is seconds since 1970 or as in
ISO 8601. Without times the order of the lines is the order in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reclora_cli.data.lookup import written_name
from reclora_cli.data.new_users import NewUser
from reclora_cli.data.reading.json_lines import read_objects
from reclora_cli.data.reading.values import ISO, TimeFormat
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError, did_you_mean

_KEYS = ("item", "rating", "time")
_EXAMPLE = '{"item": "Heat (1995)", "rating": 4}'


@dataclass(frozen=True)
class Rated:
    """One item and what somebody thinks of it.

    Attributes:
        item: dense id.
        rating: one of the store's ``rating_values``.
        time: seconds since 1970; ``None`` where it is not known.
    """

    item: int
    rating: float
    time: int | None = None


def read_rated(file: Path, store: InteractionsStore) -> list[Rated]:
    """The lines of ``file``, in its order.

    Raises:
        MissingInputError: no such file.
        RecloraError: the file is empty, or a line is not as it should be: names the line.
        UsageError: a title or id is no item's, or several items': names the line and near ones.
    """
    found: list[Rated] = []
    timed: set[bool] = set()
    for number, said in read_objects(file):
        where = f"{file}:{number}"
        found.append(_rated(said, store, where))
        timed.add(found[-1].time is not None)
        if len(timed) > 1:
            raise RecloraError(
                "some lines have a time and some have none",
                where=where,
                hint="Give every line a time, or none: then the order of the lines counts.",
            )
    if not found:
        raise RecloraError("no line is in it", where=str(file), hint=f"One each: {_EXAMPLE}")
    return found


def new_user(
    rated: Sequence[Rated], profile: Mapping[str, str], store: InteractionsStore
) -> NewUser:
    """Somebody with these behaviours, in time order; of equal times the order given."""
    times = [one.time for one in rated if one.time is not None]
    assert len(times) in (0, len(rated)), "all have a time, or none"
    ordered = sorted(rated, key=lambda one: one.time or 0)
    return NewUser(
        items=[one.item for one in ordered],
        ratings=[store.header.rating_values.index(one.rating) for one in ordered],
        times=sorted(times),
        profile=profile,
    )


def rating_of(text: Any, store: InteractionsStore, where: str) -> float:
    """The rating that ``text`` says.

    Raises:
        RecloraError: it is none of the dataset's.
    """
    values = store.header.rating_values
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = np.nan
    if isinstance(text, bool) or value not in values:
        known = ", ".join(f"{each:g}" for each in values)
        raise RecloraError(
            f"{text!r} is no rating of {store.header.dataset}",
            where=where,
            hint=f"Its ratings: {known}.",
        )
    return value


def _rated(said: Mapping[str, Any], store: InteractionsStore, where: str) -> Rated:
    for key in ("item", "rating"):
        if said.get(key) is None:
            raise RecloraError(f"the line has no {key!r}", where=where, hint=f"As in: {_EXAMPLE}")
    for key in said:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS)
            raise RecloraError(f"a line says nothing of {key!r}", where=where, hint=hint)
    name = written_name(said["item"])
    if name is None:
        what = f"an item is a title or an id, not {said['item']!r}"
        raise RecloraError(what, where=where, hint=f"As in: {_EXAMPLE}")
    item = store.find_item(name, where)
    rating = rating_of(said["rating"], store, where)
    return Rated(item, rating, seconds_of(said.get("time"), where))


def seconds_of(said: Any, where: str) -> int | None:
    """Seconds since 1970 of a number of them, or of words as in ISO 8601.

    Raises:
        RecloraError: neither.
    """
    if said is None:
        return None
    numeric = isinstance(said, int | float) and not isinstance(said, bool)
    column = pa.array([float(said) if numeric else str(said)])
    form = TimeFormat("seconds" if numeric else ISO)
    return int(form.seconds(column, "time", lambda _: where)[0])
