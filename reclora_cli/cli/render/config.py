"""A recipe key by key, with the layer that set each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import count
from reclora_cli.cli.render.layout import heading, stack, table

if TYPE_CHECKING:
    from reclora_cli.stages.show_recipe import RecipeKey, ShownRecipe

_BASE = "base.yaml"


def render(result: ShownRecipe) -> RenderableType:
    """Every key with its value and layer; what is not of base.yaml stands out."""
    layers = ", ".join(f"{name} {count(keys)}" for name, keys in result.layers.items())
    return stack(
        heading(f"{result.source}, task {result.task}", f"keys by layer: {layers}"),
        _table(result.keys),
    )


def _table(keys: Sequence[RecipeKey]) -> Table:
    made = table("key", "value", "from", left=("value", "from"))
    for one in keys:
        own = one.origin != _BASE
        made.add_row(
            Text(one.key, "key"),
            Text(_value(one.value), "strong" if own else ""),
            Text(one.origin, "" if own else "faint"),
        )
    return made


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
