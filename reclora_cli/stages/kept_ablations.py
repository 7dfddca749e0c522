"""What ``ablate`` kept: tables as text, and figures beside them.

datasets/<dataset>/ablations/<name>/result.json  *.svg
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from reclora_cli.workspace import Workspace


@dataclass(frozen=True)
class KeptAblation:
    """One table or figure.

    Attributes:
        columns, rows: texts, as the table is printed; both empty where there is no table.
        figures: SVG files that are there.
    """

    name: str
    title: str
    note: str
    columns: list[str]
    rows: list[list[str]]
    figures: list[str]


def read_all(workspace: Workspace, dataset: str) -> tuple[list[KeptAblation], list[str]]:
    """Every ablation of a dataset by name, and the files that could not be read."""
    found: list[KeptAblation] = []
    unreadable: list[str] = []
    for file in sorted((workspace.dataset(dataset) / "ablations").glob("*/result.json")):
        try:
            found.append(_read(file))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            unreadable.append(str(file))
    return found, unreadable


def _read(file: Path) -> KeptAblation:
    told = json.loads(file.read_text(encoding="utf-8"))
    table = told.get("table") or {}
    folder = file.parent.resolve()
    figures = [folder / str(name) for name in told.get("figures") or []]
    return KeptAblation(
        name=file.parent.name,
        title=str(told.get("title") or file.parent.name),
        note=str(told.get("note") or ""),
        columns=[str(column) for column in table.get("columns") or []],
        rows=[[str(cell) for cell in row] for row in table.get("rows") or []],
        # A path that leaves the folder is none of its figures.
        figures=[
            str(path)
            for path in figures
            if path.suffix == ".svg" and path.resolve().parent == folder and path.is_file()
        ],
    )
