"""A table as CSV (RFC 4180, but for line ends of ``\\n``): one header line, numbers in full."""

from __future__ import annotations

import csv
import io

from reclora_cli.tabular.table import Cell, Table, unmarked


def to_csv(table: Table) -> str:
    """The table's columns and rows; no title, note or mark. What is undefined is an empty cell.

    Floats have every digit that Python's ``repr`` needs to give the same number back.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows([[_plain(cell) for cell in row] for row in table.rows])
    return file.getvalue()


def _plain(cell: Cell) -> str:
    value = unmarked(cell)
    if value is None:
        return ""
    return value if isinstance(value, str) else repr(value)
