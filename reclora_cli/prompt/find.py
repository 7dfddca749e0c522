"""Which template a recipe's prompts are written with."""

from __future__ import annotations

from dataclasses import replace

from reclora_cli import catalog
from reclora_cli.prompt.template import PromptTemplate
from reclora_cli.recipe.tree import PromptRecipe


def find_template(recipe: PromptRecipe) -> PromptTemplate:
    """The catalogue's template ``recipe.template``, with ``recipe.texts`` in place of its own.

    Raises:
        UsageError: an unknown template, or a text with broken braces.
    """
    template: PromptTemplate = catalog.PROMPT_TEMPLATES.load(
        recipe.template, where="prompt.template"
    )
    if recipe.texts is None:
        return template
    given = recipe.texts.model_dump(exclude_none=True)
    return replace(template, **given)
