"""Whether the stored arrays can be read at all as what the header says they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reclora_cli.data.audit.report import Check, chunks
from reclora_cli.data.store import InteractionsStore, Ints

BOUNDS = "every array has the header's length, every id and position something to point at"


def values_within_bounds(store: InteractionsStore) -> Check:
    """Lengths, ids, codes and positions; every other check reads the arrays by them."""
    header = store.header
    checked, problems = 0, list(_wrong_lengths(store))
    if not problems:
        bounds = [
            ("user", store.user, header.users),
            ("item", store.item, header.items),
            ("rating", store.rating, len(header.rating_values)),
            ("label", store.label, 2),
            ("row_position", store.row_position, header.behaviours),
            ("history_end", store.history_end, header.behaviours + 1),
        ]
        for array, values, below in bounds:
            checked += len(values)
            outside = _outside(values, below)
            if outside is not None:
                problems.append(f"{array} holds {outside[1]} at {outside[0]}")
        problems += _wrong_starts(store) + _wrong_codes(store)
    return Check(BOUNDS, not problems, checked, ", ".join(problems))


def _wrong_lengths(store: InteractionsStore) -> Iterator[str]:
    header = store.header
    user_fields, item_fields = len(header.user_fields), len(header.item_fields)
    expected = {
        **dict.fromkeys(("user", "item", "rating", "time", "label"), (header.behaviours,)),
        **dict.fromkeys(("row_position", "history_end"), (header.rows,)),
        "user_start": (header.users + 1,),
        "user_fields": (header.users, user_fields),
        "item_fields": (header.items, item_fields),
    }
    for array, shape in expected.items():
        found = getattr(store, array).shape
        if found != shape:
            yield f"{array} is {found}, not {shape}"
    if sum(header.split_rows) != header.rows:
        yield f"the splits have {sum(header.split_rows)} rows of {header.rows}"


def _outside(values: Ints, below: int) -> tuple[int, int] | None:
    """Place and value of the first entry that is not within ``0 .. below``."""
    for part in chunks(len(values)):
        some = np.asarray(values[part])
        if some.min() < 0 or some.max() >= below:
            at = int(np.argmax((some < 0) | (some >= below)))
            return part.start + at, int(some[at])
    return None


def _wrong_starts(store: InteractionsStore) -> list[str]:
    start = store.user_start
    bounded = start[0] == 0 and start[-1] == store.header.behaviours
    return [] if bounded and (np.diff(start) >= 0).all() else ["user_start does not part the CSR"]


def _wrong_codes(store: InteractionsStore) -> list[str]:
    """Codes of fields must have a value each."""
    header = store.header
    names = header.user_fields + header.item_fields
    columns = [*np.asarray(store.user_fields).T, *np.asarray(store.item_fields).T]
    return [
        f"the field {name} has codes outside 0 .. {size - 1}"
        for name, size, codes in zip(names, header.field_sizes, columns, strict=True)
        if _outside(codes, size) is not None
    ]
