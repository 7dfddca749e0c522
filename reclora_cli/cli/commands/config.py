"""``reclora config``: what the recipe of a command would be."""

from __future__ import annotations

from typing import Annotated

import typer

from reclora_cli.cli.options import OutputOptions, PlaceOptions, RecipeOptions, grouped
from reclora_cli.cli.session import session

_FLAGS = {"adapter.experts": "--experts", "finetune.shots": "--shots", "crm.model": "--model"}
"""Keys that a flag of ``show`` sets; of others ``recipe.origins`` says ``flag``."""

app = typer.Typer(
    help="Show the recipe that commands would use.",
    epilog="Example: [cyan]reclora config show --origin[/cyan]",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.callback()
def group() -> None:
    """Show the recipe that commands would use."""


@app.command("show", epilog="Example: [cyan]reclora config show --origin --method rella[/cyan]")
@grouped
def show(
    *,
    origin: Annotated[
        bool, typer.Option("--origin", help="Key by key, with the layer that set each.")
    ] = False,
    llm: Annotated[
        str | None, typer.Option("--llm", metavar="NAME|PATH", help="As finetune takes it.")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="NAME", help="As finetune takes it.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="NAME", help="As finetune takes it.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="The CRM, or sequence encoder.")
    ] = None,
    experts: Annotated[
        int | None, typer.Option("--experts", metavar="N", min=1, help="As finetune takes it.")
    ] = None,
    shots: Annotated[
        int | None, typer.Option("--shots", metavar="N", min=1, help="As finetune takes it.")
    ] = None,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    output: OutputOptions,
) -> None:
    """The whole recipe as it would be used, as YAML."""
    with session(output, place) as opened:
        from reclora_cli.cli.render import config as view
        from reclora_cli.stages import show_recipe

        values = {"adapter.experts": experts, "finetune.shots": shots, "crm.model": model}
        recipe, origins = opened.traced_recipe(
            recipe_options, values, llm=llm, method=method, preset=preset
        )
        flags = {**_FLAGS, "seed": "--seed", "lm.name": "--llm"}
        named = {key: _named(layer, flags.get(key)) for key, layer in origins.items()}
        result = show_recipe.run(recipe, named)
        if origin or opened.console.json:
            opened.console.result(result, view.render(result))
        else:
            opened.console.line(result.yaml.rstrip())


def _named(layer: str, flag: str | None) -> str:
    from reclora_cli.recipe.origins import FLAG

    return flag if layer == FLAG and flag else layer
