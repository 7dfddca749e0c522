"""Columns of text or numbers to ids, ratings, labels and times, naming the line that does not fit.

Shapes: columns are (n,) Arrow arrays. A value is *missing* where it is null or one of the texts
that mean so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reclora_cli.errors import RecloraError

Bools = NDArray[np.bool_]
Where = Callable[[int], str]
"""Place of row number ``at``, from 0, for errors."""

LATEST = 4_102_444_800
"""The year 2100, in seconds since 1970: times lie between."""

UNITS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
ISO = "iso8601"

_SHOWN = 60


def as_text(column: pa.Array) -> pa.Array:
    """Any values as text: those of a list joined by ``", "``, whole floats without ``.0``."""
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pc.binary_join(column.cast(pa.list_(pa.string())), ", ")
    if pa.types.is_dictionary(kind):
        return as_text(column.dictionary_decode())
    return column.cast(pa.string())


def missing(text: pa.Array, empty: Collection[str]) -> Bools:
    """(n,) whether each value means that there is none."""
    nothing = pc.is_in(text, value_set=pa.array(sorted(empty), pa.string()))
    return pc.or_(pc.is_null(text), nothing).to_numpy(zero_copy_only=False)


def require_all(column: pa.Array, name: str, where: Where) -> pa.Array:
    """``column`` itself, when no value is null.

    Raises:
        RecloraError: one is.
    """
    if column.null_count:
        at = int(np.argmax(pc.is_null(column).to_numpy(zero_copy_only=False)))
        raise RecloraError(f"{name} is empty", where=where(at))
    return column


def require_ids(text: pa.Array, empty: Collection[str], name: str, where: Where) -> pa.Array:
    """``text`` itself, when no id is missing.

    Raises:
        RecloraError: one is.
    """
    none = missing(text, empty)
    if none.any():
        raise RecloraError(f"{name} is empty", where=where(int(np.argmax(none))))
    return text


def numbers(column: pa.Array, name: str, where: Where) -> NDArray[np.float64]:
    """(n,) float64; nothing may be missing.

    Raises:
        RecloraError: a value is not a finite number.
    """
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = column.cast(pa.float64(), safe=False)
    else:
        values = _parsed(pc.utf8_trim_whitespace(as_text(column)), name, where)
    found = values.fill_null(np.nan).to_numpy(zero_copy_only=False)
    broken = ~np.isfinite(found)
    if broken.any():
        at = int(np.argmax(broken))
        said = column[at].as_py()
        raise _unfit(name, "a number", "nothing" if said is None else said, where(at))
    return found


def labels(
    column: pa.Array, like: Sequence[str], dislike: Sequence[str], name: str, where: Where
) -> NDArray[np.float64]:
    """(n,) 1 for a like, 0 for a dislike.

    Raises:
        RecloraError: a value is neither.
    """
    text = as_text(column)
    liked = _is_one_of(text, like)
    strange = ~(liked | _is_one_of(text, dislike))
    if strange.any():
        at = int(np.argmax(strange))
        known = ", ".join(map(repr, [*like, *dislike]))
        raise _unfit(name, f"one of {known}", text[at].as_py(), where(at))
    return liked.astype(np.float64)


def is_any_of(column: pa.Array, values: Sequence[float | str]) -> Bools:
    """(n,) whether each value is one of these; numbers are compared as numbers (0 is 0.0)."""
    text = as_text(column)
    found = _is_one_of(text, [value for value in values if isinstance(value, str)])
    if "" in values:
        found |= pc.is_null(column).to_numpy(zero_copy_only=False)
    amounts = [value for value in values if not isinstance(value, str)]
    if amounts:
        # Every way to write one of them: few texts are distinct among ratings.
        distinct = text.unique().drop_null().to_pylist()
        found |= _is_one_of(text, [said for said in distinct if _number(said) in amounts])
    return found


@dataclass(frozen=True)
class TimeFormat:
    """How a column writes times: a key of ``UNITS``, ``ISO``, or a strptime pattern."""

    name: str

    def seconds(self, column: pa.Array, name: str, where: Where) -> NDArray[np.int64]:
        """(n,) int64 seconds since 1970, UTC, rounded down.

        Columns that hold times by their type (Parquet) are read by it.

        Raises:
            RecloraError: a value is not of this format, or not between 1970 and 2100.
        """
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            found = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
        elif self.name in UNITS:
            amounts = np.floor(numbers(column, name, where) / UNITS[self.name])
            # What an int64 cannot hold is off the range too.
            found = pa.array(np.clip(amounts, -(2.0**60), 2.0**60).astype(np.int64))
        else:
            found = self._read(as_text(column), name, where)
        return require_times(found.to_numpy(zero_copy_only=False), name, where)

    def _read(self, text: pa.Array, name: str, where: Where) -> pa.Array:
        fast = self._fast(text)
        if fast is not None:
            return fast
        distinct = text.dictionary_encode()
        read = [self._one(value) for value in distinct.dictionary.to_pylist()]
        found = pa.array(read, pa.int64()).take(distinct.indices)
        broken = pc.is_null(found).to_numpy(zero_copy_only=False)
        if broken.any():
            at = int(np.argmax(broken))
            expected = "a time as in ISO 8601" if self.name == ISO else f"a time like {self.name}"
            raise _unfit(name, expected, text[at].as_py(), where(at))
        return found

    def _fast(self, text: pa.Array) -> pa.Array | None:
        """By Arrow, when it reads all of them, and they are written as it would write them."""
        try:
            if self.name == ISO:
                times = text.cast(pa.timestamp("us"))
            elif "%z" in self.name.lower() or "%f" in self.name:
                return None
            else:
                times = pc.strptime(text, format=self.name, unit="s")
                # It takes the 31st of February for the 2nd of March: what it read must say so.
                if not pc.all(pc.equal(pc.strftime(times, format=self.name), text)).as_py():
                    return None
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None
        return (
            pc.floor(pc.divide(times.cast(pa.int64()), 1_000_000))
            if self.name == ISO
            else (times.cast(pa.int64()))
        )

    def _one(self, text: str | None) -> int | None:
        if text is None:
            return None
        try:
            if self.name == ISO:
                read = datetime.fromisoformat(text.strip())
            else:
                read = datetime.strptime(text.strip(), self.name)
            aware = read if read.tzinfo else read.replace(tzinfo=UTC)
            return int(aware.timestamp() // 1)
        except (ValueError, OverflowError):
            return None


def require_times(seconds: NDArray[np.int64], name: str, where: Where) -> NDArray[np.int64]:
    """``seconds`` itself, when all lie between 1970 and 2100.

    Raises:
        RecloraError: one does not; guesses its unit.
    """
    off = (seconds <= 0) | (seconds >= LATEST)
    if off.any():
        at = int(np.argmax(off))
        found = int(seconds[at])
        guesses = [unit for unit, size in UNITS.items() if 10**9 / 4 < found / size < LATEST]
        raise RecloraError(
            f"{name}: {found} is no time between 1970 and 2100, in seconds since 1970",
            where=where(at),
            hint=f"Is it in {guesses[0]}?" if guesses else None,
        )
    return seconds


def _parsed(text: pa.Array, name: str, where: Where) -> pa.Array:
    try:
        return text.cast(pa.float64())
    except pa.ArrowInvalid:
        values = enumerate(text.to_pylist())
        at = next(at for at, said in values if said is not None and _number(said) is None)
        raise _unfit(name, "a number", text[at].as_py(), where(at)) from None


def _number(text: str) -> float | None:
    try:
        return pa.array([text.strip()], pa.string()).cast(pa.float64())[0].as_py()
    except pa.ArrowInvalid:
        return None


def _is_one_of(text: pa.Array, values: Sequence[str]) -> Bools:
    found = pc.is_in(text, value_set=pa.array(list(values), pa.string()))
    return found.to_numpy(zero_copy_only=False).copy()


def _unfit(name: str, expected: str, found: Any, where: str) -> RecloraError:
    text = str(found)
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return RecloraError(f"{name}: expected {expected}, found {cut!r}", where=where)
