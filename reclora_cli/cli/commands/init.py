"""``reclora init``: a recipe of one's own, by questions."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reclora_cli.cli.options import OutputOptions, PlaceOptions, grouped
from reclora_cli.cli.session import existing, session

EXAMPLE = "Example: [cyan]reclora init mine.yaml[/cyan]"

_ANSWERS = "Answers"


class Task(StrEnum):
    """What is asked of a model."""

    rate = "rate"
    next = "next"


class Size(StrEnum):
    """What the recipe is for."""

    laptop = "laptop"
    gpu = "gpu"


@grouped
def command(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The recipe to write.")] = Path(
        "my.yaml"
    ),
    task: Annotated[
        Task | None,
        typer.Option(
            "--task",
            help="rate: will a user like an item? next: what comes next?",
            show_default="rate",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME",
            help="Of the catalogue; with --from what you call your data.",
            show_default="the last prepared, else ml-1m",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    own: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Your own interactions: the columns are guessed.",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    size: Annotated[
        Size | None,
        typer.Option(
            "--size",
            help="laptop: the recipe's settings; gpu: those of the papers.",
            show_default="laptop",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="reclora, rella, tallrec, lora, lora-r128; of next ilora, ilora-hybrid, llara, "
            "lora.",
            show_default="reclora or ilora",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(
            "--llm", metavar="NAME|PATH", help="As finetune takes it.", rich_help_panel=_ANSWERS
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="The CRM that guides the gate, or the sequence encoder.",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    experts: Annotated[
        int | None,
        typer.Option(
            "--experts",
            metavar="N",
            min=1,
            help="K, of methods with a gate.",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            "--shots",
            metavar="N",
            min=1,
            help="Training rows the LM is tuned on.",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: defaults for the rest.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
    place: PlaceOptions,
    output: OutputOptions,
) -> None:
    """Write a recipe of your own, by questions.

    Flags answer beforehand. Without a terminal, or with --yes, defaults answer the rest.
    """
    with session(output, place) as opened:
        from reclora_cli.cli.interview import Given, answered
        from reclora_cli.cli.render import new_recipe as view
        from reclora_cli.stages import init_recipe, write_recipe

        target = file.expanduser()
        init_recipe.require_free(target, force=force)
        given = Given(
            task=task and task.value,
            dataset=dataset,
            own=existing(own),
            llm=llm,
            method=method,
            experts=experts,
            shots=shots,
            crm=model,
            size=size and size.value,
        )
        answers = answered(opened, given, asking=opened.console.interactive and not yes)
        result = write_recipe.run(answers, target, force=force)
        opened.console.result(result, view.render(result))
        opened.console.next(result.next_command)
