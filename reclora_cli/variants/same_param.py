"""One LoRA of rank K r, at the scale of one of rank r (Table 3, "w/o meta-LoRA, same param").

As many parameters as the experts have, without a gate.
"""

from __future__ import annotations

from typing import Any

from reclora_cli.recipe import Recipe
from reclora_cli.variants.base import Variant


def _changes(recipe: Recipe) -> dict[str, Any]:
    adapter = recipe.adapter
    return {
        "adapter.kind": "lora",
        "adapter.rank": adapter.rank * adapter.experts,
        "adapter.alpha": adapter.alpha * adapter.experts,
    }


VARIANT = Variant(
    title="w/o meta-LoRA, same param",
    asks="Or is it only that K experts have K times the parameters?",
    changes=_changes,
)
