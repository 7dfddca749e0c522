"""A table: named columns, rows of typed cells, a title and a note."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

NONE = "–"
"""What stands for an undefined figure where people read; CSV leaves the cell empty."""


@dataclass(frozen=True)
class Column:
    """What stands in a column, and how its numbers are written for people.

    Attributes:
        digits: after the point, of floats; CSV has every digit.
        signed: positive numbers get a ``+``.
        percent: floats are fractions and shown as percentages; CSV keeps the fraction.
    """

    name: str
    align: Literal["left", "right", "center"] = "right"
    digits: int = 4
    signed: bool = False
    percent: bool = False


@dataclass(frozen=True)
class Marked:
    """A value with a mark of significance behind it, or set off as the best of its column.

    CSV holds the value alone, so that its column stays numeric.
    """

    value: str | float | None
    mark: str = ""
    bold: bool = False


Cell = str | float | None | Marked
"""A text, an int, a float, or ``None`` for what is undefined (NaN is that too)."""


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as there are columns.

    Attributes:
        title: what the table shows; LaTeX's caption.
        note: what a reader must know of its figures, below it.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for at, row in enumerate(self.rows):
            found, wanted = len(row), len(self.columns)
            assert found == wanted, f"row {at} has {found} cells for {wanted} columns"


def unmarked(cell: Cell) -> str | float | None:
    """The cell's value; ``None`` where it is undefined."""
    value = cell.value if isinstance(cell, Marked) else cell
    return None if isinstance(value, float) and math.isnan(value) else value


def written(cell: Cell, column: Column) -> str:
    """The cell's value as people read it, without its mark and unescaped; ASCII minus."""
    value = unmarked(cell)
    if value is None:
        return NONE
    if isinstance(value, str):
        return value
    sign = "+" if column.signed else ""
    if isinstance(value, int):
        return f"{value:{sign},}"
    if column.percent:
        return f"{100 * value:{sign}.{column.digits}f} %"
    return f"{value:{sign}.{column.digits}f}"


def is_number(cell: Cell) -> bool:
    """Whether the cell holds a defined number."""
    return isinstance(unmarked(cell), int | float)
