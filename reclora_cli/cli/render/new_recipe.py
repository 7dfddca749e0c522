"""What a new recipe says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from reclora_cli.cli.render.layout import heading, indented, pairs, stack

if TYPE_CHECKING:
    from reclora_cli.stages.write_recipe import NewRecipe


def render(result: NewRecipe) -> RenderableType:
    """What it extends and what it says; of data of one's own what was guessed."""
    said = {key: str(value) for key, value in result.settings.items()}
    marks = Text("\n").join(Text.assemble(("? ", "warn"), line) for line in result.check)
    parts: list[RenderableType] = [heading(result.recipe, f"extends {result.extends}")]
    parts.append(indented(pairs(said) if said else Text(f"nothing else: it is {result.extends}")))
    if result.guessed:
        parts += [heading("Guessed", "please check"), indented(pairs(result.guessed))]
        parts.append(indented(marks))
    return stack(*parts)
