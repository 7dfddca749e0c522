"""What a grid leaves in its folder: its result as JSON, its table as CSV, Markdown and LaTeX."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from reclora_cli.pipeline.ablated import GridResult, TextTable
from reclora_cli.pipeline.grid import Grid
from reclora_cli.stages import locate
from reclora_cli.tabular import WRITERS, Column, Table, save
from reclora_cli.tabular.table import Marked, written
from reclora_cli.workspace import Workspace, write_json

RESULT = "result.json"

_COUNTED = {
    "Users": "users",
    "Items": "items",
    "Samples": "samples",
    "Fields": "fields",
    "Features": "features",
}
"""Columns of Table 1, and what ``prepare`` calls them."""


def write_table(table: Table, folder: Path) -> list[str]:
    """Write ``table.csv``, ``table.md`` and ``table.tex``; returns the paths."""
    files = [folder / f"table{suffix}" for suffix in WRITERS]
    for file in files:
        save(table, file)
    return [str(file) for file in files]


def write_result(result: GridResult, folder: Path) -> None:
    """Write ``result.json``."""
    write_json(folder / RESULT, asdict(result))


def as_text(table: Table) -> TextTable:
    """Columns and cells as people read them, with their marks."""
    rows = [
        [
            written(cell, column) + (cell.mark if isinstance(cell, Marked) else "")
            for cell, column in zip(row, table.columns, strict=True)
        ]
        for row in table.rows
    ]
    return TextTable([column.name for column in table.columns], rows, table.note)


def statistics(grid: Grid, workspace: Workspace) -> Table:
    """Table 1 of one dataset: what preparation counted, and what the paper prints."""
    manifest = locate.store(grid.base, workspace).manifest()
    assert manifest is not None, "prepared just now"
    published = grid.experiment.published.get(grid.dataset, {})
    rows = [["ours", *(manifest.figures[key] for key in _COUNTED.values())]]
    if published:
        rows.append(["paper", *(int(published[name]["count"]) for name in _COUNTED)])
    columns = [Column("", align="left"), *(Column(name) for name in _COUNTED)]
    note = "" if published else "The paper does not report this dataset."
    return Table(columns, rows, f"{grid.experiment.title} ({grid.dataset})", note)
