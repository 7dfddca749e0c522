"""``reclora ablate``: the papers' tables and figures, and any variants, at one command each."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reclora_cli import processes
from reclora_cli.cli import choices
from reclora_cli.cli.options import (
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    grouped,
)
from reclora_cli.cli.session import Session, session

if TYPE_CHECKING:
    from reclora_cli.pipeline.grid import Grid

EXAMPLE = "Example: [cyan]reclora ablate --table 3 --size tiny[/cyan]"

_WHAT = "What is compared"


class Size(StrEnum):
    """How much of it."""

    tiny = "tiny"
    laptop = "laptop"
    paper = "paper"


@grouped
def command(
    *,
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            metavar="1-4|NAME",
            help="A table of RecLoRA, or of iLoRA: ilora, ilora-experts, ilora-gate, "
            "ilora-projections. Repeatable.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    figures: Annotated[
        list[str] | None,
        typer.Option(
            "--figure",
            metavar="4-6|alignment",
            help="A figure of RecLoRA; alignment: gradients between clusters of users, LoRA "
            "beside iLoRA. Repeatable.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    variants: Annotated[
        str | None,
        typer.Option(
            "--variants",
            metavar="NAME[,NAME]",
            help="RecLoRA (with a recipe of the task next iLoRA) beside variants of it; "
            "`--variants list` names them.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    size: Annotated[
        Size,
        typer.Option(
            "--size",
            help="tiny: ML-100K, minutes; laptop: ML-1M, hours on two cores; paper: GPUs. Of "
            "iLoRA, tiny: LastFM, and there is no paper.",
            rich_help_panel=_WHAT,
        ),
    ] = Size.tiny,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", metavar="N", min=1, help="Runs of each, told as mean and deviation."
        ),
    ] = 1,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", metavar="N", min=1, help="Runs at a time. Default: one for each GPU, else 1."
        ),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option("--clusters", metavar="N", min=2, help="Of --figure alignment. Default: 8."),
    ] = None,
    cluster_rows: Annotated[
        int | None,
        typer.Option(
            "--cluster-rows",
            metavar="N",
            min=2,
            help="Of --figure alignment: training rows of each cluster. Default: 8, laptop: 32.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs and the time they will take.")
    ] = False,
    recipe_options: RecipeOptions,
    place: PlaceOptions,
    running: RunningOptions,
    output: OutputOptions,
) -> None:
    """Train, score and compare what a table or figure of the paper shows.

    Interrupted, the same command goes on; what lies in the workspace is not trained again.
    """
    with session(output, place) as opened:
        from reclora_cli.cli.render import ablate as view
        from reclora_cli.pipeline import ablate

        if variants == "list":
            opened.console.result(view.known(), view.variants())
            return
        if not (tables or figures or variants):
            tables = [choices.experiment(opened)]
        grids = _grids(tables, figures, variants, size.value, seeds, recipe_options)
        grids = [one.with_alignment(clusters, cluster_rows) for one in grids]
        if not dry_run:
            _require_prepared(opened, grids, running)
        processes.require_alone("ablate")
        result = ablate.run(
            grids,
            opened.workspace,
            opened.console.progress,
            device=running.device.value,
            confirm=opened.person(yes=running.yes),
            jobs=jobs,
            dry_run=dry_run,
        )
        opened.console.result(result, view.render(result))


def _grids(
    tables: list[str] | None,
    figures: list[str] | None,
    variants: str | None,
    size: str,
    seeds: int,
    options: RecipeOptions,
) -> list[Grid]:
    from reclora_cli.pipeline import grid, grid_variants

    names = [f"table-{name}" if name.isdigit() else name for name in tables or ()]
    names += [f"figure-{name}" for name in figures or ()]
    chosen = [name.strip() for name in (variants or "").split(",") if name.strip()]
    overrides = [*(options.overrides or ())]
    if options.seed is not None:
        overrides.append(f"seed={options.seed}")
    found: list[Grid] = []
    for name in names:
        found += grid.shipped(name, size, seeds=seeds, recipe=options.recipe, overrides=overrides)
    if chosen:
        found += grid_variants.of_variants(
            chosen, size, seeds=seeds, recipe=options.recipe, overrides=overrides
        )
    return found


def _require_prepared(opened: Session, grids: list[Grid], running: RunningOptions) -> None:
    """With ``--no-deps`` nothing but what was asked for runs: the grids' datasets must be there.

    Raises:
        MissingInputError: one is not.
    """
    from reclora_cli.stages import locate

    if running.no_deps:
        for one in grids:
            artefact = locate.store(one.base, opened.workspace)
            locate.require(artefact, "prepared dataset", locate.prepare_command(one.base))
