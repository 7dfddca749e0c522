"""Which source a recipe's data come from: the catalogue's, or files of the user's own."""

from __future__ import annotations

from pathlib import Path

from reclora_cli import catalog
from reclora_cli.data.sources.base import Source
from reclora_cli.data.sources.own import own_source
from reclora_cli.errors import UsageError
from reclora_cli.recipe.tree import DataRecipe


def find_source(recipe: DataRecipe) -> Source:
    """The source that ``recipe`` names or describes.

    Raises:
        UsageError: an unknown name, or one of the catalogue for data of one's own.
    """
    if recipe.tables is None:
        source: Source = catalog.DATASETS.load(recipe.source, where="data.source")
        return source
    if recipe.source in catalog.DATASETS:
        raise UsageError(
            f"{recipe.source} is a dataset of the catalogue, and data.tables describes your own",
            where="data.source",
            hint="Give yours another name, e.g. `reclora prepare mine --recipe FILE --from FILE`.",
        )
    return own_source(recipe)


def own_file(recipe: DataRecipe) -> Path | None:
    """The interactions file that the recipe itself names, if it does."""
    named = recipe.tables and recipe.tables.interactions.file
    return Path(named) if named else None
