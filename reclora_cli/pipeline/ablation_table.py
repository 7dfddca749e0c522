"""The paper's tables from a grid's cells: our figures, and the paper's beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reclora_cli.metrics.compare import SIGNIFICANT, Difference, Figure
from reclora_cli.metrics.over_seeds import MeanSd
from reclora_cli.pipeline.ablated import CellResult
from reclora_cli.pipeline.grid import Grid
from reclora_cli.stages.evaluated import EvaluateResult
from reclora_cli.tabular import Cell as TableCell
from reclora_cli.tabular import Column, Marked, Table


@dataclass(frozen=True)
class _Given:
    """What columns are filled from."""

    cells: Sequence[CellResult]
    reference: CellResult


_Fill = Callable[[CellResult, _Given], TableCell]


def table_of(grid: Grid, cells: Sequence[CellResult], evaluated: EvaluateResult) -> Table:
    """The table in the layout of the experiment."""
    layout, several = grid.experiment.layout, len(cells[0].seeds) > 1
    reference = next((cell for cell in cells if cell.label == grid.reference), cells[0])
    given = _Given(cells, reference)
    columns: list[tuple[Column, _Fill]] = [
        (Column(_FIRST[layout], align="left"), lambda cell, _: cell.label),
        *_ours(several),
        *_OTHERS[layout],
        *(_published(cells) if any(cell.published for cell in cells) else []),
    ]
    return Table(
        columns=[column for column, _ in columns],
        rows=[[fill(cell, given) for _, fill in columns] for cell in cells],
        title=f"{grid.experiment.title} ({grid.dataset}, {grid.size})",
        note=_note(grid, cells, evaluated),
    )


def _ours(several: bool) -> list[tuple[Column, _Fill]]:
    if several:
        return [
            (Column("AUC, mean ± sd"), lambda cell, _: _with_sd(cell.auc_over_seeds)),
            (Column("LogLoss, mean ± sd"), lambda cell, _: _with_sd(cell.log_loss_over_seeds)),
            (Column("AUC, first seed"), _auc),
            (Column("interval", align="left"), lambda cell, _: _interval(cell.auc)),
        ]
    return [
        (Column("AUC"), _auc),
        (Column("interval", align="left"), lambda cell, _: _interval(cell.auc)),
        (Column("LogLoss"), _log_loss),
    ]


def _auc(cell: CellResult, given: _Given) -> TableCell:
    known = [one.auc.value for one in given.cells if one.auc.value is not None]
    best = cell.auc.value is not None and cell.auc.value == max(known)
    return Marked(cell.auc.value, _star(cell.auc_difference), bold=best)


def _log_loss(cell: CellResult, given: _Given) -> TableCell:
    known = [one.log_loss.value for one in given.cells if one.log_loss.value is not None]
    best = cell.log_loss.value is not None and cell.log_loss.value == min(known)
    return Marked(cell.log_loss.value, _star(cell.log_loss_difference), bold=best)


def _star(paired: Difference | None) -> str:
    return "*" if paired is not None and paired.significant else ""


def _interval(figure: Figure) -> str | None:
    if figure.low is None or figure.high is None:
        return None
    return f"[{figure.low:.3f}, {figure.high:.3f}]"


def _with_sd(spread: MeanSd | None) -> str | None:
    if spread is None or spread.mean is None:
        return None
    return f"{spread.mean:.4f} ± {spread.sd:.4f}"


def _over_first(of: Callable[[CellResult], float | None]) -> _Fill:
    """How much more it is than the first cell's, as a fraction; nothing for the first itself."""

    def fill(cell: CellResult, given: _Given) -> TableCell:
        value, first = of(cell), of(given.cells[0])
        return value / first - 1 if value is not None and first and cell != given.cells[0] else None

    return fill


def _percent(name: str) -> Column:
    return Column(name, digits=2, signed=True, percent=True)


_FIRST = {
    "models": "model",
    "ablation": "variant",
    "efficiency": "text / ID",
    "lines": "point",
}
_RELATIVE: _Fill = lambda cell, _: cell.relative  # noqa: E731
_OTHERS: dict[str, list[tuple[Column, _Fill]]] = {
    "models": [(_percent("RelImpr"), _RELATIVE)],
    "ablation": [(_percent("RelDecr"), _RELATIVE)],
    "efficiency": [
        (_percent("improves"), _RELATIVE),
        (Column("tuning s/sample", digits=3), lambda cell, _: cell.tuning_seconds),
        (_percent("more"), _over_first(lambda cell: cell.tuning_seconds)),
        (Column("scoring s/sample", digits=3), lambda cell, _: cell.scoring_seconds),
        (_percent("more "), _over_first(lambda cell: cell.scoring_seconds)),
    ],
    "lines": [],
}
_METRICS = {
    "auc": Column("paper AUC"),
    "log_loss": Column("paper LogLoss"),
    "tuning": Column("paper tuning s", digits=2),
    "scoring": Column("paper scoring s", digits=2),
}


def _published(cells: Sequence[CellResult]) -> list[tuple[Column, _Fill]]:
    return [
        (column, _printed(metric))
        for metric, column in _METRICS.items()
        if any(metric in cell.published for cell in cells)
    ]


def _printed(metric: str) -> _Fill:
    return lambda cell, _: cell.published.get(metric)


def _note(grid: Grid, cells: Sequence[CellResult], evaluated: EvaluateResult) -> str:
    of = f"a seeded subset of {evaluated.of:,}" if evaluated.subset else "all there are"
    seeds = ", ".join(map(str, cells[0].seeds))
    parts = [
        f"{evaluated.rows:,} {evaluated.split} rows ({of}; rows {evaluated.rows_hash[:12]}).",
        f"Seed {seeds}." if len(cells[0].seeds) == 1 else f"Seeds {seeds}.",
        f"LM {grid.base.lm.name}, {_shots(grid)} shots.",
        *([f"Settings: {', '.join(grid.settings)}."] if grid.settings else []),
        f"{evaluated.confidence:.0%} intervals by {evaluated.resamples:,} bootstrap resamples.",
    ]
    if grid.reference is not None:
        parts.append(
            f"* differs from {grid.reference} on the same rows: p < {SIGNIFICANT} (AUC: DeLong; "
            "LogLoss: paired bootstrap)."
        )
    if any(cell.published for cell in cells):
        parts.append("The paper's figures: Vicuna-7B, 70,000 shots.")
    return " ".join(parts)


def _shots(grid: Grid) -> str:
    found = sorted({recipe.finetune.shots for recipe in grid.recipes("run")})
    return ", ".join(f"{shots:,}" for shots in found) if found else "no"
