"""Recipes: the typed, strict description of everything that decides a result."""

from reclora_cli.recipe.load import (
    differences,
    fingerprint,
    from_tree,
    load,
    load_traced,
    names,
    recipes_folder,
    to_yaml,
)
from reclora_cli.recipe.tree import Recipe

__all__ = [
    "Recipe",
    "differences",
    "fingerprint",
    "from_tree",
    "load",
    "load_traced",
    "names",
    "recipes_folder",
    "to_yaml",
]
