"""What is refused of a recipe before anything runs: names that there are not, mixed tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reclora_cli import catalog
from reclora_cli.errors import UsageError

if TYPE_CHECKING:
    from reclora_cli.recipe import Recipe


def check_names(recipe: Recipe) -> None:
    """Refuse names that the catalogue has not.

    Raises:
        UsageError: a dataset, model, template or LM that there is not.
    """
    from reclora_cli.lm.find import check_name

    _check_source(recipe)
    sequences = recipe.task == "next"
    crms = catalog.SEQUENCE_ENCODERS if sequences else catalog.CRMS
    crms.check(recipe.crm.model, where="crm.model")
    if sequences:
        catalog.NEXT_TEMPLATES.check(recipe.next.prompt.template, where="next.prompt.template")
    else:
        catalog.PROMPT_TEMPLATES.check(recipe.prompt.template, where="prompt.template")
    check_name(recipe.lm.name)


def check_method(method: str, chosen: Recipe, own: Recipe) -> None:
    """Refuse a method that makes the recipe one of another task: its other settings would not fit.

    Args:
        own: the recipe without the method.

    Raises:
        UsageError: the tasks differ.
    """
    if chosen.task != own.task:
        source, sequences = own.data.source, own.task == "next"
        like = f"--recipe lastfm or {source}-next, say" if not sequences else "ilora, llara or lora"
        raise UsageError(
            f"{method} is a method of the task {chosen.task}, and the recipe of {source} is of the "
            f"task {own.task}",
            where="--method",
            hint=f"Choose what fits: {like}.",
        )


def _check_source(recipe: Recipe) -> None:
    source = recipe.data.source
    if recipe.task == "rate" and source in catalog.SEQUENCE_DATASETS:
        raise UsageError(
            f"{source} holds sequences, no ratings",
            where="task",
            hint=f"--recipe {source}",
        )
    if recipe.data.tables is None and source not in catalog.SEQUENCE_DATASETS:
        catalog.DATASETS.check(source, where="data.source")
