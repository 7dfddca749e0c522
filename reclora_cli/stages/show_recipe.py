"""``reclora config show``: the whole recipe as commands would use it, and each key's layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reclora_cli.recipe import Recipe, to_yaml


@dataclass(frozen=True)
class RecipeKey:
    """One key of the recipe.

    Attributes:
        key: dotted, e.g. ``gate.temperature``.
        origin: the layer that set it: a shipped file (``base.yaml``), the path of a file of one's
            own, ``as prepared``, ``--set``, a flag, or ``built in``.
    """

    key: str
    value: Any
    origin: str


@dataclass(frozen=True)
class ShownRecipe:
    """A recipe.

    Attributes:
        recipe: every section, as plain values.
        keys: every key by itself, in the recipe's order.
        layers: origins that occur, with the number of their keys.
        yaml: the recipe as a file that ``--recipe`` takes.
    """

    task: str
    source: str
    recipe: dict[str, Any]
    keys: list[RecipeKey]
    layers: dict[str, int]
    yaml: str


def run(recipe: Recipe, origins: Mapping[str, str]) -> ShownRecipe:
    """What ``recipe.load_traced`` returned, key by key."""
    plain = recipe.model_dump(mode="json")
    keys = [RecipeKey(key, _at(plain, key), origin) for key, origin in origins.items()]
    layers = dict.fromkeys(origins.values(), 0)
    for key in keys:
        layers[key.origin] += 1
    return ShownRecipe(recipe.task, recipe.data.source, plain, keys, layers, to_yaml(recipe))


def _at(plain: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; a key may itself hold dots, as those of ``tune.grid`` do."""
    inner: Any = plain
    while key not in inner:
        section = next(name for name in inner if key.startswith(f"{name}."))
        inner, key = inner[section], key.removeprefix(f"{section}.")
    return inner[key]
