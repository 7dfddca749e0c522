"""A grid: every run that a table or a figure needs on one dataset, as recipes.

Two cells with one recipe are one run, and what two recipes share (dataset, index, CRM) lies in one
place: see ``stages.locate``. So a grid is trained by asking for its runs one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from reclora_cli.errors import UsageError
from reclora_cli.recipe import Recipe, fingerprint, load
from reclora_cli.recipe.experiment import (
    SIZES,
    AlignmentRecipe,
    CellRecipe,
    ExperimentRecipe,
    SizeRecipe,
    cell_recipe,
    load_experiment,
)
from reclora_cli.stages import locate

Kind = Literal["run", "crm", "zero-shot", "popularity"]

STAGES: dict[Kind, str] = {
    "crm": "pretrain-crm",
    "run": "finetune",
    "zero-shot": "prepare",
    "popularity": "prepare",
}
"""What makes each kind of model; the last two need rows alone."""


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

    @property
    def task(self) -> str:
        """Of the rows that are scored."""
        return self.base.task

    @property
    def gradients(self) -> int:
        """Rows of which each run's gradients are taken: of a figure of alignment alone."""
        if self.experiment.layout != "alignment":
            return 0
        settings = self.alignment
        return settings.clusters * settings.rows

    @property
    def alignment(self) -> AlignmentRecipe:
        """Of how many rows gradients are compared."""
        return self.experiment.sizes[self.size].alignment  # type: ignore[index]

    def with_alignment(self, clusters: int | None, rows: int | None) -> Grid:
        """With other clusters or rows of them than the size's; the name tells them apart.

        Raises:
            UsageError: it compares no gradients.
        """
        asked = {"clusters": clusters, "rows": rows}
        given = {name: value for name, value in asked.items() if value is not None}
        if not given:
            return self
        if not self.gradients:
            raise UsageError(
                f"{self.name} compares no gradients",
                where="--clusters, --cluster-rows",
                hint="They are of `reclora ablate --figure alignment`.",
            )
        alignment = self.alignment.model_copy(update=given)
        update = {"alignment": alignment}
        sizes = {
            name: one.model_copy(update=update) if name == self.size else one
            for name, one in self.experiment.sizes.items()
        }
        return replace(
            self,
            name=f"{self.name}-{alignment.clusters}x{alignment.rows}",
            experiment=self.experiment.model_copy(update={"sizes": sizes}),
        )

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
        known = [one for one in SIZES if one in experiment.sizes]
        told = f"{name} has no size {size!r}" if size in SIZES else f"unknown size {size!r}"
        raise UsageError(told, where="--size", hint=f"One of {', '.join(known)}.")
    if experiment.layout == "alignment" and seeds > 1:
        raise UsageError(
            "a figure of gradients is of one seed",
            where="--seeds",
            hint="Repeat it with --seed 1, 2, …: each has a folder of its own.",
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
    base = cell_recipe(
        chosen, dataset_recipe, CellRecipe(label=""), method=experiment.method, overrides=overrides
    )
    _require_of_one_task(name, base, dataset_recipe)

    def made(cell: CellRecipe, axis: dict[str, Any]) -> tuple[Recipe, ...]:
        return tuple(
            cell_recipe(
                chosen,
                dataset_recipe,
                cell,
                method=experiment.method,
                overrides=overrides,
                values={**axis, "seed": base.seed + step},
            )
            for step in range(seeds)
        )

    def of(cell: CellRecipe, value: Any) -> Cell:
        recipes = made(cell, {experiment.axis.key: value} if experiment.axis else {})
        return Cell(
            label=cell.label if value is None else f"{cell.label} at {value}",
            line=cell.label,
            x=None if value is None else float(value),
            kind=_kind(cell, recipes[0]),
            variant=cell.variant,
            recipes=recipes,
        )

    cells = [of(cell, value) for cell in experiment.cells for value in chosen.values or (None,)]

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


def _kind(cell: CellRecipe, recipe: Recipe) -> Kind:
    if cell.crm is not None:
        return "crm"
    if cell.popularity:
        return "popularity"
    return "zero-shot" if recipe.adapter.kind == "none" else "run"


def _require_of_one_task(name: str, base: Recipe, dataset_recipe: str) -> None:
    """A method brings its task along, and would lay it over a recipe of the other."""
    found = load(dataset_recipe).task
    if found != base.task:
        raise UsageError(
            f"{name} is of the task {base.task}, and {dataset_recipe} of the task {found}",
            where="--recipe",
            hint="lastfm and ml-1m-next are recipes of the task next, ml-1m is of rate.",
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
