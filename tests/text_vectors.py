"""Text vectors for tests that need no encoder."""

from __future__ import annotations

import numpy as np

from reclora_cli.data.store import InteractionsStore
from reclora_cli.encoding.text_parts import TextParts
from reclora_cli.encoding.text_vectors import TextVectors
from reclora_cli.prompt.find import find_template
from reclora_cli.prompt.write import PromptWriter
from reclora_cli.recipe import Recipe


def parts_of(store: InteractionsStore, recipe: Recipe) -> TextParts:
    """What the recipe's template says of the store."""
    return TextParts.of(store, PromptWriter(store, find_template(recipe.prompt)))


def random_vectors(store: InteractionsStore, recipe: Recipe, width: int) -> TextVectors:
    """A vector of noise for each distinct text."""
    rng, parts = np.random.default_rng(4), parts_of(store, recipe)
    tables = {
        kind: rng.normal(size=(len(getattr(parts, kind)), width)).astype(np.float32)
        for kind in ("profiles", "behaviours", "items")
    }
    return TextVectors(parts, **tables)
