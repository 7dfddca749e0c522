"""A grid: every run that a table or a figure needs on one dataset, as recipes.

Two cells with one recipe are one run, and what two recipes share (dataset, index, CRM) lies in one
place: see ``stages.locate``. So a grid is trained by asking for its runs one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from reclora_cli import catalog
from reclora_cli.errors import UsageError
from reclora_cli.recipe import Recipe, fingerprint
from reclora_cli.recipe.experiment import (
    SIZES,
    CellRecipe,
    ExperimentRecipe,
    SizeRecipe,
    cell_recipe,
    load_experiment,
)
from reclora_cli.stages import locate

Kind = Literal["run", "crm"]

STAGES: dict[Kind, str] = {"crm": "pretrain-crm", "run": "finetune"}
"""What trains each kind of model."""

_LONGEST_NAME = 60
"""Of variants in a folder's name; beyond it a fingerprint stands for them."""

FULL = "RecLoRA"
"""Label of the unvaried method."""


@dataclass(frozen=True)
class Cell:
    """One model of a grid.

    Attributes:
        label: of its row, or of its point.
        line: of the figure's line it stands on; the label in a table.
        x: its place on the axis.
        variant: what it varies, by name.
        recipes: one for each seed.
    """

    label: str
    line: str
    x: float | None
    kind: Kind
    variant: str | None
    recipes: tuple[Recipe, ...]


@dataclass(frozen=True)
class Grid:
    """An experiment on one dataset.

    Attributes:
        name: e.g. ``table-3-tiny``, with some digits more under other settings than the size's;
            its results lie in a folder of that name.
        base: whose rows are scored, and whose seed draws them.
        reference: label of the cell that the others are held against.
        settings: what the caller laid over the size's own.
    """

    name: str
    experiment: ExperimentRecipe
    size: str
    base: Recipe
    cells: tuple[Cell, ...]
    reference: str | None
    settings: tuple[str, ...] = ()

    @property
    def dataset(self) -> str:
        return self.base.data.source

    def models(self) -> list[tuple[Kind, Recipe]]:
        """Every model, each once, in order of the cells: two recipes may make one run."""
        every = [(cell.kind, recipe) for cell in self.cells for recipe in cell.recipes]
        once: dict[tuple[Kind, str], tuple[Kind, Recipe]] = {}
        for kind, recipe in every:
            once.setdefault((kind, locate.fingerprint_of(STAGES[kind], recipe)), (kind, recipe))
        return list(once.values())

    def recipes(self, kind: Kind) -> list[Recipe]:
        """Of every model of a kind, each once, in order."""
        return [recipe for of, recipe in self.models() if of == kind]


def shipped(
    name: str,
    size: str,
    *,
    seeds: int = 1,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
) -> list[Grid]:
    """The grids of a shipped table or figure, one for each of its datasets at that size.

    Args:
        seeds: runs of each cell, with seeds from the recipe's own on.
        recipe: of the one dataset that is wanted; any recipe will do.
        overrides: as ``--set`` takes them; over the size's settings, below a cell's own.

    Raises:
        UsageError: unknown names, or settings that do not fit.
    """
    experiment = load_experiment(name)
    return grids_of(name, experiment, size, seeds=seeds, recipe=recipe, overrides=overrides)


def of_variants(
    variants: Sequence[str],
    size: str,
    *,
    seeds: int = 1,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
) -> list[Grid]:
    """The grids of RecLoRA and the variants named, on the datasets and sizes of Table 3.

    Raises:
        UsageError: an unknown variant, or settings that do not fit.
    """
    cells = [CellRecipe(label=FULL)]
    for name in dict.fromkeys(variants):
        title = catalog.VARIANTS.load(name, where="--variants").title
        cells.append(CellRecipe(label=title, variant=name))
    experiment = ExperimentRecipe(
        title="Variants of RecLoRA",
        layout="ablation",
        reference=FULL,
        cells=tuple(cells),
        sizes=load_experiment("table-3").sizes,
        published=load_experiment("table-3").published,
    )
    named = "-".join(sorted({*variants}))
    name = f"variants-{named if len(named) <= _LONGEST_NAME else fingerprint(named)[:8]}"
    return grids_of(name, experiment, size, seeds=seeds, recipe=recipe, overrides=overrides)


def grids_of(
    name: str,
    experiment: ExperimentRecipe,
    size: str,
    *,
    seeds: int = 1,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
) -> list[Grid]:
    """One grid for each dataset of ``experiment`` at ``size``; arguments as ``shipped``."""
    chosen = experiment.sizes.get(size)  # type: ignore[call-overload]
    if chosen is None:
        raise UsageError(
            f"unknown size {size!r}", where="--size", hint=f"One of {', '.join(SIZES)}."
        )
    _refuse_axis(experiment, overrides)
    names = (recipe,) if recipe else chosen.recipes
    return [_grid(name, experiment, size, chosen, one, seeds, overrides) for one in names]


def _grid(
    name: str,
    experiment: ExperimentRecipe,
    size: str,
    chosen: SizeRecipe,
    dataset_recipe: str,
    seeds: int,
    overrides: Sequence[str],
) -> Grid:
    base = cell_recipe(chosen, dataset_recipe, CellRecipe(label=FULL), overrides=overrides)

    def made(cell: CellRecipe, axis: dict[str, Any]) -> tuple[Recipe, ...]:
        return tuple(
            cell_recipe(
                chosen,
                dataset_recipe,
                cell,
                overrides=overrides,
                values={**axis, "seed": base.seed + step},
            )
            for step in range(seeds)
        )

    cells = [
        Cell(
            label=cell.label if value is None else f"{cell.label} at {value}",
            line=cell.label,
            x=None if value is None else float(value),
            kind="crm" if cell.crm is not None else "run",
            variant=cell.variant,
            recipes=made(cell, {experiment.axis.key: value} if experiment.axis else {}),
        )
        for cell in experiment.cells
        for value in (chosen.values or (None,))
    ]

    own = seeds > 1 or overrides or dataset_recipe not in chosen.recipes
    suffix = f"-{_told_apart(cells)}" if own else ""
    full_name = f"{name}-{size}{suffix}"
    return Grid(
        full_name,
        experiment,
        size,
        base,
        tuple(cells),
        experiment.reference,
        tuple(overrides),
    )


def _refuse_axis(experiment: ExperimentRecipe, overrides: Sequence[str]) -> None:
    """A setting that every cell has its own of would be laid under them, and change nothing."""
    keys = {experiment.axis.key} if experiment.axis else set[str]()
    of_cells = [{*cell.settings} for cell in experiment.cells]
    keys |= set.intersection(*of_cells) if of_cells else set()
    for text in overrides:
        key = text.partition("=")[0].strip()
        if key in keys:
            raise UsageError(
                f"{key} is what the points differ in",
                where="--set",
                hint="Leave it away: the table or figure says its values.",
            )


def _told_apart(cells: Sequence[Cell]) -> str:
    """A few digits of what the cells are: so that other settings have a folder of their own."""
    return fingerprint([recipe.model_dump_json() for cell in cells for recipe in cell.recipes])[:6]
