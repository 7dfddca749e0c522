"""Recipes as what they say differently: laid over another, and written as a short YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from reclora_cli.recipe.load import from_tree, load, merged
from reclora_cli.recipe.tree import Recipe


def changed(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """``recipe`` with ``{"section.key": value}`` laid over it.

    Raises:
        UsageError: keys or values that do not fit.
    """
    return from_tree(merged(recipe.model_dump(mode="json"), values))


def value_at(recipe: Recipe, key: str) -> Any:
    """The plain value of ``section.key``."""
    return reduce(lambda tree, part: tree[part], key.split("."), recipe.model_dump(mode="json"))


def delta_yaml(recipe: Recipe, extends: str, comment: str) -> str:
    """``recipe`` as a file that extends a shipped one and says what differs.

    Args:
        extends: name of a shipped recipe.
        comment: lines that head the file.
    """
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    tree = {"extends": extends, **difference(recipe, extends)}
    return head + yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=100)


def difference(recipe: Recipe, extends: str | Path) -> dict[str, Any]:
    """What a file that extends another recipe, by name or place, must say to be ``recipe``."""
    model = recipe.crm.model  # Named where it is not what would be read: settings go by it.
    below = load(extends, values={"crm.model": model}).model_dump(mode="json")
    below["crm"]["model"] = load(extends).crm.model
    return _difference(below, recipe.model_dump(mode="json"))


def dotted(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= dotted(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


@dataclass(frozen=True)
class ChangedKey:
    """A key whose value is not the same in two recipes; ``None`` where one has no such key."""

    key: str
    before: Any
    after: Any


def changed_keys(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = ""
) -> list[ChangedKey]:
    """Dotted keys of plain trees whose values differ, in the order of ``before``."""
    found: list[ChangedKey] = []
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += changed_keys(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(ChangedKey(f"{prefix}{key}", old, new))
    return found


def _difference(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in above.items():
        old = below.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            if inner := _difference(old, value):
                found[key] = inner
        elif key not in below or old != value:
            found[key] = value
    return found
