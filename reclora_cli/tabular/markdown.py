"""A table as Markdown: a pipe table of GitHub Flavored Markdown (spec 0.29, section 4.10)."""

from __future__ import annotations

import re

from reclora_cli.tabular.table import Cell, Column, Marked, Table, written

_ESCAPED = re.compile(r"([\\`*_|<~$&{}#^]|\](?=\())")
"""Signs that Markdown, or the dialects with mathematics and footnotes, read as more than text."""

_ENDS = {"left": (":", "-"), "right": ("-", ":"), "center": (":", ":")}


def to_markdown(table: Table) -> str:
    """The title in bold, the table with aligned columns, the note."""
    lines = [
        [_escape(column.name) for column in table.columns],
        *(
            [_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]
            for row in table.rows
        ),
    ]
    widths = [max(3, *(len(line[at]) for line in lines)) for at in range(len(table.columns))]
    rules = [_rule(column, width) for column, width in zip(table.columns, widths, strict=True)]
    header, *rows = [_padded(line, table, widths) for line in lines]
    parts = [
        f"**{_escape(table.title)}**" if table.title else "",
        "\n".join([header, f"| {' | '.join(rules)} |", *rows]),
        _escape(table.note),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(cell: Cell, column: Column) -> str:
    text = _escape(written(cell, column))
    if isinstance(cell, Marked):
        text = f"**{text}**" if cell.bold else text
        text += _escape(cell.mark)
    return text


def _escape(text: str) -> str:
    return " ".join(_ESCAPED.sub(r"\\\1", text).split())


def _rule(column: Column, width: int) -> str:
    start, end = _ENDS[column.align]
    return start + "-" * (width - 2) + end


def _padded(line: list[str], table: Table, widths: list[int]) -> str:
    signs = {"left": "<", "right": ">", "center": "^"}
    cells = [
        f"{text:{signs[column.align]}{width}}"
        for text, column, width in zip(line, table.columns, widths, strict=True)
    ]
    return f"| {' | '.join(cells)} |"
