"""What a variant is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reclora_cli.recipe import Recipe


@dataclass(frozen=True)
class Variant:
    """One change of a method.

    Attributes:
        title: its row in a table, in the paper's words where the paper has it.
        asks: the question that it answers.
        changes: recipe -> ``{"section.key": value}``; depends on the recipe alone. What they make
            is loaded (``recipe.experiment.cell_recipe``): another CRM comes with its own settings.
    """

    title: str
    asks: str
    changes: Callable[[Recipe], Mapping[str, Any]]
