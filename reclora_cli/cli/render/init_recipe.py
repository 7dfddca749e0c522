"""What a recipe was guessed from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from reclora_cli.cli.render.layout import heading, indented, pairs, stack

if TYPE_CHECKING:
    from reclora_cli.stages.init_recipe import InitRecipeResult


def render(result: InitRecipeResult) -> RenderableType:
    """What each part was taken for, and what to look at."""
    marks = Text("\n").join(Text.assemble(("? ", "warn"), line) for line in result.check)
    return stack(
        heading(result.recipe, "guessed, please check"),
        indented(pairs(result.guessed)),
        indented(marks),
    )
