"""The recipe of data of one's own, kept beside its store: later commands find it without --recipe.

Datasets of the catalogue need none: their recipes are shipped.
"""

from __future__ import annotations

from pathlib import Path

from reclora_cli.recipe import Recipe, to_yaml
from reclora_cli.workspace import Workspace, write_text


def kept_recipe(workspace: Workspace, dataset: str) -> Path | None:
    """The recipe kept with ``dataset``; ``None`` when there is none."""
    file = _file(workspace, dataset)
    return file if file.is_file() else None


def keep_recipe(recipe: Recipe, workspace: Workspace, interactions: Path) -> None:
    """Keep ``recipe`` with its dataset, when it is one's own, and where its interactions lie."""
    if recipe.data.tables is None:
        return
    tables = recipe.data.tables
    named = tables.interactions.model_copy(update={"file": str(interactions.absolute())})
    data = recipe.data.model_copy(
        update={"tables": tables.model_copy(update={"interactions": named})}
    )
    text = to_yaml(recipe.model_copy(update={"data": data}))
    file = _file(workspace, recipe.data.source)
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        with workspace.writing():
            write_text(file, text)


def _file(workspace: Workspace, dataset: str) -> Path:
    return workspace.dataset(dataset) / "recipe.yaml"
