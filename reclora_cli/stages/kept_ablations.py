"""What ``ablate`` kept: tables as text, and figures beside them.

datasets/<dataset>/ablations/<name>/result.json  *.svg
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reclora_cli.workspace import Workspace


@dataclass(frozen=True)
class KeptAblation:
    """One table or figure.

    Attributes:
        columns, rows: texts, as the table is printed; both empty where there is no table.
        figures: SVG files that are there.
        models: label -> name and identity of each run or CRM that a row is of.
    """

    name: str
    title: str
    note: str
    columns: list[str]
    rows: list[list[str]]
    figures: list[str]
    models: dict[str, list[tuple[str, str]]]

    def gone(self, identities: Mapping[str, str]) -> list[str]:
        """Labels of rows whose model was removed or made anew since.

        Args:
            identities: name -> identity of what lies there now.
        """
        return [
            label
            for label, models in self.models.items()
            if any(identities.get(name) != identity for name, identity in models)
        ]


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
    # The folder may have been moved since: files are looked for beside the result.
    figures = [folder / Path(str(file)).name for file in told.get("files") or []]
    return KeptAblation(
        name=file.parent.name,
        title=str(told.get("title") or file.parent.name),
        note=str(table.get("note") or ""),
        columns=[str(column) for column in table.get("columns") or []],
        rows=[[str(cell) for cell in row] for row in table.get("rows") or []],
        # A link that leads out of the folder is none of its figures.
        figures=[
            str(path)
            for path in figures
            if path.suffix == ".svg" and path.resolve().parent == folder and path.is_file()
        ],
        models={
            str(cell["label"]): list(zip(cell["models"], cell["identities"], strict=True))
            for cell in told.get("cells") or []
        },
    )
