"""Experiments: which recipes a table or a figure compares, at which size, and what was published.

One file each in ``recipes/tables``. An experiment is a list of cells; a cell is a method, a variant
of it, a CRM alone, or popularity. A figure crosses its cells with the values of one key of the
recipe. Which task its rows are of is what its datasets' recipes say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from reclora_cli import catalog
from reclora_cli.errors import UsageError, did_you_mean
from reclora_cli.recipe.load import load, names, recipes_folder
from reclora_cli.recipe.section import Section
from reclora_cli.recipe.tree import Recipe
from reclora_cli.recipe.yaml_core import parse

TABLES = "tables"
"""Folder of the experiments, beside the recipes they are made of."""

SIZES = ("tiny", "laptop", "paper")

Layout = Literal["datasets", "models", "ablation", "efficiency", "lines", "alignment"]


class CellRecipe(Section):
    """One method of a table, or one line of a figure."""

    label: str = Field(description="as the paper prints it; published figures go by it")
    method: str | None = Field(default=None, description="a shipped method; null: the experiment's")
    variant: str | None = Field(default=None, description="one of the catalogue, over the method")
    crm: str | None = Field(default=None, description="this CRM alone, in place of a method")
    popularity: bool = Field(
        default=False, description="of the task next: the candidate most often a target"
    )
    settings: dict[str, Any] = Field(default={}, description="section.key -> value")


class AxisRecipe(Section):
    """What a figure's points differ in."""

    key: str = Field(description="section.key of the recipe")
    title: str
    point: str = Field(description="what a point is called: K = {}")
    logarithmic: bool = False


class AlignmentRecipe(Section):
    """Of how many rows gradients are compared (layout ``alignment``)."""

    clusters: int = Field(default=8, ge=2, description="of training rows, by the encoder's z")
    rows: int = Field(default=8, ge=2, description="drawn of each cluster")


class SizeRecipe(Section):
    """On which datasets, and with how much."""

    recipes: tuple[str, ...] = Field(description="one grid for each", min_length=1)
    llm: str | None = None
    preset: str | None = None
    settings: dict[str, Any] = Field(default={}, description="section.key -> value, of every cell")
    values: tuple[Any, ...] = Field(default=(), description="of the axis")
    alignment: AlignmentRecipe = AlignmentRecipe()


class ExperimentRecipe(Section):
    """A table or a figure."""

    title: str
    layout: Layout
    method: str = Field(default="reclora", description="of cells that name none")
    reference: str | None = Field(
        default=None, description="label of the cell others are held against"
    )
    cells: tuple[CellRecipe, ...] = ()
    axis: AxisRecipe | None = None
    sizes: dict[Literal["tiny", "laptop", "paper"], SizeRecipe]
    published: dict[str, dict[str, dict[str, float]]] = Field(
        default={}, description="dataset -> label -> metric -> what the paper prints"
    )

    @model_validator(mode="after")
    def _fits(self) -> ExperimentRecipe:
        labels = [cell.label for cell in self.cells]
        if len(set(labels)) < len(labels):
            raise ValueError("two cells have one label")
        if self.reference is not None and self.reference not in labels:
            raise ValueError(f"the reference {self.reference!r} is no cell")
        if (self.axis is None) != (self.layout != "lines"):
            raise ValueError("a figure of lines has an axis, and nothing else has")
        for name, size in self.sizes.items():
            if bool(size.values) != (self.axis is not None):
                raise ValueError(f"sizes.{name}: an axis has values, and nothing else has")
        return self


def experiment_names() -> list[str]:
    """Names of the shipped experiments, e.g. ``table-3``."""
    return names(TABLES)


def load_experiment(name: str) -> ExperimentRecipe:
    """The shipped experiment ``name``.

    Raises:
        UsageError: there is none called so, or its file does not fit.
    """
    if name not in experiment_names():
        hint = did_you_mean(name, experiment_names())
        raise UsageError(f"no table or figure is called {name!r}", hint=hint)
    file = recipes_folder() / TABLES / f"{name}.yaml"
    return experiment_from(parse(file.read_text(encoding="utf-8")), where=str(file))


def experiment_from(tree: Mapping[str, Any], *, where: str) -> ExperimentRecipe:
    """Validate an experiment; its variants and CRMs must be in the catalogue.

    Raises:
        UsageError: with every wrong key and value.
    """
    try:
        found = ExperimentRecipe.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        message = "the experiment does not fit:\n" + "\n".join(lines)
        raise UsageError(message, where=where) from None
    for cell in found.cells:
        if cell.variant is not None:
            catalog.VARIANTS.check(cell.variant, where=where)
        if cell.crm is not None:
            catalog.CRMS.check(cell.crm, where=where)
    return found


def cell_recipe(
    size: SizeRecipe,
    dataset_recipe: str,
    cell: CellRecipe,
    *,
    method: str = "reclora",
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe of one cell on one dataset.

    What is laid over what: the dataset's recipe, the size's LM and preset, the cell's method, the
    size's settings, the caller's ``overrides``, the cell's settings, ``values`` (the axis, the
    seed), and the variant, which sees all of these.

    Args:
        method: of a cell that names none.

    Raises:
        UsageError: keys or values that do not fit.
    """

    def laid(extra: Mapping[str, Any]) -> Recipe:
        return load(
            dataset_recipe,
            llm=size.llm,
            preset=size.preset,
            method=cell.method or method,
            overrides=[
                *(f"{key}={json.dumps(value)}" for key, value in size.settings.items()),
                *overrides,
            ],
            values={**cell.settings, **(values or {}), **extra},
        )

    if cell.crm is not None:
        return laid({"crm.model": cell.crm})
    if cell.variant is None:
        return laid({})
    return laid(catalog.VARIANTS.load(cell.variant).changes(laid({})))
