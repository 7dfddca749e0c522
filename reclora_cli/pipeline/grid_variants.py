"""Grids of a method beside variants of it: RecLoRA of the task ``rate``, iLoRA of ``next``."""

from __future__ import annotations

from collections.abc import Sequence

from reclora_cli import catalog
from reclora_cli.errors import UsageError
from reclora_cli.pipeline.grid import Grid, grids_of
from reclora_cli.recipe import fingerprint, load
from reclora_cli.recipe.experiment import CellRecipe, ExperimentRecipe, load_experiment

_LONGEST_NAME = 60
"""Of variants in a folder's name; beyond it a fingerprint stands for them."""

FULL = {"reclora": "RecLoRA", "ilora": "iLoRA"}
"""Labels of the unvaried methods."""


def of_variants(
    variants: Sequence[str],
    size: str,
    *,
    seeds: int = 1,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
) -> list[Grid]:
    """The grids of RecLoRA and the variants named, on the datasets and sizes of Table 3.

    Where ``recipe`` is of the task ``next``, they are of iLoRA, at the sizes of its table.

    Raises:
        UsageError: an unknown variant, one that changes nothing of the task, or settings that do
            not fit.
    """
    table, method = "table-3", "reclora"
    if recipe is not None and load(recipe).task == "next":
        table, method = "ilora", "ilora"
    full, of_table = FULL[method], load_experiment(table)
    cells = [CellRecipe(label=full)]
    for name in dict.fromkeys(variants):
        title = catalog.VARIANTS.load(name, where="--variants").title
        cells.append(CellRecipe(label=title, variant=name))
    if method == "ilora":
        _require_known_to_next(variants)
    experiment = ExperimentRecipe(
        title=f"Variants of {full}",
        layout="ablation",
        method=method,
        reference=full,
        cells=tuple(cells),
        sizes=of_table.sizes,
        published=of_table.published if method == "reclora" else {},
    )
    named = "-".join(sorted({*variants}))
    name = f"variants-{named if len(named) <= _LONGEST_NAME else fingerprint(named)[:8]}"
    if method != "reclora":
        name = f"{method}-{name}"
    return grids_of(name, experiment, size, seeds=seeds, recipe=recipe, overrides=overrides)


def _require_known_to_next(variants: Sequence[str]) -> None:
    """Variants of what only ``rate`` has would be the unvaried run again, or another method.

    Raises:
        UsageError: naming the variant.
    """
    for name in variants:
        if name not in catalog.NEXT_VARIANTS:
            raise UsageError(
                f"{name} is a variant of the task rate",
                where="--variants",
                hint=f"Of the task next there are {', '.join(sorted(catalog.NEXT_VARIANTS))}.",
            )
