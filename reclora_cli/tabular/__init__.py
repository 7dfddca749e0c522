"""Tables as data, and as CSV, Markdown and LaTeX: what ``evaluate --save`` and ``ablate`` write."""

from reclora_cli.tabular.comma_separated import to_csv
from reclora_cli.tabular.latex import to_latex
from reclora_cli.tabular.markdown import to_markdown
from reclora_cli.tabular.save import WRITERS, check_format, save
from reclora_cli.tabular.table import Cell, Column, Marked, Table

__all__ = [
    "WRITERS",
    "Cell",
    "Column",
    "Marked",
    "Table",
    "check_format",
    "save",
    "to_csv",
    "to_latex",
    "to_markdown",
]
