"""Reading delimited text fast, and naming the broken line when there is one.

pandas' C engine reads a whole file at once but is vague about what is wrong. So a file is first
read the fast way; only when that fails is it searched line by line for the first line that does
not fit, which is then named with what was expected.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reclora_cli.errors import MissingInputError, RecloraError

_UNIT = "\x1f"  # one character that no source contains: the C engine takes no longer separator
_INTERRUPTED = "Calling read(nbytes) on source failed"
"""What pandas makes of a Ctrl-C while it reads; text that is in memory fails in no other way."""


@dataclass(frozen=True)
class Column:
    """One column of a delimited file.

    Attributes:
        name: of the column.
        allowed: inclusive bounds of a whole number; ``None`` for text.
    """

    name: str
    allowed: tuple[int, int] | None = None

    @property
    def expected(self) -> str:
        if self.allowed is None:
            return self.name
        low, high = self.allowed
        return f"{self.name} (whole number {low} .. {high})"

    def fits(self, text: str) -> bool:
        """Whether ``text`` is a value of this column."""
        if self.allowed is None:
            return True
        digits = text.removeprefix("-")
        return digits.isascii() and digits.isdigit() and self._within(int(text))

    def _within(self, number: int) -> bool:
        assert self.allowed is not None
        return self.allowed[0] <= number <= self.allowed[1]


ID = (1, 2**31 - 1)
SECONDS = (0, 2**40)


def read_delimited(path: Path, separator: str, columns: Sequence[Column]) -> pd.DataFrame:
    """The table in a Latin-1 file without header, without quoting.

    Args:
        path: the file.
        separator: between columns; of any length.
        columns: all columns in order; whole numbers become int64, the rest text.

    Raises:
        MissingInputError: no such file.
        RecloraError: the file is empty, cut off, or has a line that does not fit.
    """
    text = _read_text(path)
    if separator != _UNIT:
        text = text.replace(separator, _UNIT)
    table = _read_fast(text, columns)
    if table is None:
        raise _first_broken_line(path, text, separator, columns)
    return table


def require(path: Path) -> Path:
    """``path`` itself when it is a file.

    Raises:
        MissingInputError: it is not.
    """
    if not path.is_file():
        raise MissingInputError(
            f"{path.name} is missing",
            where=str(path.parent),
            hint="Give the folder or zip of the original files with --from.",
        )
    return path


def _read_text(path: Path) -> str:
    text = require(path).read_bytes().decode("latin-1")
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if not text:
        raise RecloraError("the file is empty", where=str(path))
    if not text.endswith("\n"):
        raise RecloraError(
            "the file ends in the middle of a line: it seems to be cut off",
            where=f"{path}:{text.count(chr(10)) + 1}",
            hint="Fetch it again, or add a line break at its end if it is whole.",
        )
    return text


def _read_fast(text: str, columns: Sequence[Column]) -> pd.DataFrame | None:
    """The table, or ``None`` when any line does not fit."""
    lines = text.count("\n")
    if text.count(_UNIT) != lines * (len(columns) - 1):
        return None
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=_UNIT,
            header=None,
            names=[column.name for column in columns],
            dtype={column.name: "int64" if column.allowed else "str" for column in columns},
            quoting=csv.QUOTE_NONE,
            keep_default_na=False,
            skip_blank_lines=False,
            engine="c",
        )
    except pd.errors.ParserError as error:
        if _INTERRUPTED in str(error):
            raise KeyboardInterrupt from None
        return None
    except (ValueError, OverflowError):
        return None
    return table if len(table) == lines and _all_fit(table, columns) else None


def _all_fit(table: pd.DataFrame, columns: Sequence[Column]) -> bool:
    """No value is missing (a short line) or outside its bounds."""
    for column in columns:
        values = table[column.name]
        if column.allowed is None:
            if values.isna().any():
                return False
        elif not values.between(*column.allowed).all():
            return False
    return True


def _first_broken_line(
    path: Path, text: str, separator: str, columns: Sequence[Column]
) -> RecloraError:
    shape = separator.join(column.expected for column in columns)
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        problem = _problem(line.split(_UNIT), columns)
        if problem:
            shown = line.replace(_UNIT, separator)
            return RecloraError(
                f"{problem} in {shown[:120]!r}",
                where=f"{path}:{number}",
                hint=f"Expected {shape}",
            )
    return RecloraError(
        "the file cannot be read as a table", where=str(path), hint=f"Expected {shape}"
    )


def _problem(values: list[str], columns: Sequence[Column]) -> str | None:
    if len(values) != len(columns):
        return f"{len(values)} columns instead of {len(columns)}"
    for value, column in zip(values, columns, strict=True):
        if not column.fits(value):
            return f"{value!r} is no {column.expected}"
    return None
