"""Which layer of a recipe each key comes from.

Origins are laid over each other exactly as values are: a tree whose leaves name the layer goes
through the same functions, so that they can never tell another story than the values do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reclora_cli.recipe.layers import CRM, Tree, laid, with_settings_of, with_settings_of_its_crm

AS_PREPARED = "as prepared"
"""Of the sections that the dataset of the workspace was prepared under."""

SET, FLAG = "--set", "flag"
BUILT_IN = "built in"
"""Of a key that no file names: the program's own default."""


@dataclass(frozen=True)
class Traced:
    """A tree of a recipe, and the tree of the same shape whose leaves name their layers."""

    tree: Tree
    origins: Tree

    @classmethod
    def of(cls, tree: Tree, origin: str) -> Traced:
        """One layer."""
        return cls(tree, _leaves(tree, origin))

    def under(self, above: Traced) -> Traced:
        """``above`` laid over this."""
        return Traced(laid(self.tree, above.tree), laid(self.origins, above.origins))

    def with_settings_of_its_crm(self, *, where: str) -> Traced:
        """See ``layers.with_settings_of_its_crm``."""
        whole = with_settings_of_its_crm(self.tree, where=where)
        crm = whole.get(CRM)
        model = crm.get("model") if isinstance(crm, Mapping) else None
        return Traced(whole, with_settings_of(self.origins, model))


def origins_of(recipe: Mapping[str, Any], origins: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key -> layer of each key of ``recipe`` (plain values), in the recipe's order."""
    found: dict[str, str] = {}
    _collect(recipe, origins, "", found)
    return found


def _collect(values: Mapping[str, Any], origins: Any, prefix: str, found: dict[str, str]) -> None:
    for key, value in values.items():
        origin = origins.get(key, BUILT_IN) if isinstance(origins, Mapping) else origins
        if isinstance(value, Mapping) and value:
            _collect(value, origin, f"{prefix}{key}.", found)
        else:
            found[f"{prefix}{key}"] = origin if isinstance(origin, str) else BUILT_IN


def _leaves(tree: Mapping[str, Any], origin: str) -> Tree:
    return {
        key: _leaves(value, origin) if isinstance(value, Mapping) else origin
        for key, value in tree.items()
    }
