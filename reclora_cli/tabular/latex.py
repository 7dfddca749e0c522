"""A table as LaTeX: a ``table`` float with the rules of the package booktabs."""

from __future__ import annotations

import re

from reclora_cli.tabular.table import Cell, Column, Marked, Table, is_number, written

_SPECIAL = {
    **{sign: f"\\{sign}" for sign in "&%_#${}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "±": r"$\pm$",
}
_FIND = re.compile("|".join(re.escape(sign) for sign in _SPECIAL))


def to_latex(table: Table) -> str:
    """The table, its title as caption and its note below; UTF-8, special characters escaped."""
    header = [escape(column.name) for column in table.columns]
    rows = [
        [_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]
    lines = [
        r"% Needs \usepackage{booktabs}.",
        r"\begin{table}",
        r"\centering",
        *([rf"\caption{{{escape(table.title)}}}"] if table.title else []),
        rf"\begin{{tabular}}{{{''.join(column.align[0] for column in table.columns)}}}",
        r"\toprule",
        _line(header),
        r"\midrule",
        *(_line(row) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *([rf"\par\smallskip{{\footnotesize {escape(table.note)}}}"] if table.note else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """``text`` as LaTeX prints it, in one line; letters beyond ASCII are kept."""
    return " ".join(_FIND.sub(lambda found: _SPECIAL[found.group()], text).split())


def _cell(cell: Cell, column: Column) -> str:
    text = escape(written(cell, column))
    if is_number(cell):
        text = text.replace("-", "$-$")
    if isinstance(cell, Marked):
        text = rf"\textbf{{{text}}}" if cell.bold else text
        text += rf"\textsuperscript{{{escape(cell.mark)}}}" if cell.mark else ""
    return text


def _line(cells: list[str]) -> str:
    line = " & ".join(cells)
    # A line that begins with [ would be read as the space wanted after the rule before it.
    return (f"{{}}{line}" if line.startswith(("[", "*")) else line) + r" \\"
