"""The table of a grid of the task ``next``: rankings, answers in words, what is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reclora_cli.lm.shapes import LLAMA_2_7B
from reclora_cli.metrics.compare import SIGNIFICANT, Figure
from reclora_cli.pipeline.ablated import NextCellResult
from reclora_cli.pipeline.grid import Grid
from reclora_cli.stages.next_evaluated import EvaluateNextResult
from reclora_cli.tabular import Cell as TableCell
from reclora_cli.tabular import Column, Marked, Table

MILLION = 1_000_000

_Cells = Sequence[NextCellResult]
_Fill = Callable[[NextCellResult, _Cells], TableCell]

_MAIN = "hit_ratio@1"
_SHOWN = {
    "hit_ratio@1": "HR@1",
    "ndcg@5": "NDCG@5",
    "said_hit_ratio@1": "HR@1 said",
    "said_valid_ratio": "Valid Ratio",
}
"""Figures in the order of columns; ``said`` is of answers in words, the others of the ranking."""

_PUBLISHED = {
    "said_hit_ratio@1_valid": "HR@1 said over valid answers",
    "said_valid_ratio": "ValidRatio",
}
"""What LLaRA's authors print, of few rows: the note tells it."""
_FIRST = {"models": "model", "ablation": "variant", "lines": "point", "efficiency": "model"}


def table_of(grid: Grid, cells: _Cells, evaluated: EvaluateNextResult) -> Table:
    """A line a cell; the best of each figure in bold, ``*`` for p < 0.01 against the reference."""
    several = len(cells[0].seeds) > 1
    columns: list[tuple[Column, _Fill]] = [
        (Column(_FIRST[grid.experiment.layout], align="left"), lambda cell, _: cell.label),
        *(_over_seeds() if several else []),
        *_first_seed(),
        *([(Column("over", digits=3, signed=True), _over)] if grid.reference else []),
        *_parameters(),
    ]
    return Table(
        columns=[column for column, _ in columns],
        rows=[[fill(cell, cells) for _, fill in columns] for cell in cells],
        title=f"{grid.experiment.title} ({grid.dataset}, {grid.size})",
        note=_note(grid, cells, evaluated),
    )


def _over_seeds() -> list[tuple[Column, _Fill]]:
    def of(name: str) -> _Fill:
        def fill(cell: NextCellResult, _: _Cells) -> TableCell:
            spread = cell.figures_over_seeds.get(name)
            if spread is None or spread.mean is None:
                return None
            return f"{spread.mean:.3f} ± {spread.sd:.3f}"

        return fill

    named = ("hit_ratio@1", "said_hit_ratio@1")
    return [(Column(f"{_SHOWN[name]}, mean ± sd"), of(name)) for name in named]


def _first_seed() -> list[tuple[Column, _Fill]]:
    found: list[tuple[Column, _Fill]] = []
    for name, title in _SHOWN.items():
        found.append((Column(title, digits=3), _figure(name)))
        if name == _MAIN:
            found.append((Column("interval", align="left"), _interval))
    return found


def _figure(name: str) -> _Fill:
    def fill(cell: NextCellResult, cells: _Cells) -> TableCell:
        value = _value(cell, name)
        known = [found for one in cells if (found := _value(one, name)) is not None]
        tested = cell.differences.get(name)
        star = "*" if tested is not None and tested.significant else ""
        return Marked(value, star, bold=value is not None and value == max(known))

    return fill


def _value(cell: NextCellResult, name: str) -> float | None:
    return cell.figures.get(name, Figure(None, None, None)).value


def _interval(cell: NextCellResult, _: _Cells) -> TableCell:
    figure = cell.figures[_MAIN]
    if figure.low is None or figure.high is None:
        return None
    return f"[{figure.low:.3f}, {figure.high:.3f}]"


def _over(cell: NextCellResult, _: _Cells) -> TableCell:
    """HR@1 of the ranking, minus the reference's."""
    found = cell.differences.get(_MAIN)
    return found.value if found else None


def _parameters() -> list[tuple[Column, _Fill]]:
    def own(cell: NextCellResult, _: _Cells) -> TableCell:
        return cell.parameters.trained / MILLION if cell.parameters else None

    def large(cell: NextCellResult, _: _Cells) -> TableCell:
        return cell.parameters.at_7b / MILLION if cell.parameters else None

    return [(Column("trains, M", digits=3), own), (Column("at 7B, M", digits=3), large)]


def _note(grid: Grid, cells: _Cells, evaluated: EvaluateNextResult) -> str:
    of = f"a seeded subset of {evaluated.of:,}" if evaluated.subset else "all there are"
    seeds = ", ".join(map(str, cells[0].seeds))
    shots = sorted({recipe.finetune.shots for recipe in grid.recipes("run")})
    parts = [
        f"{evaluated.rows:,} {evaluated.split} rows ({of}; rows {evaluated.rows_hash[:12]}), "
        f"{evaluated.candidates} candidates, blind choice {evaluated.chance:.3f}.",
        f"Seed {seeds}." if len(cells[0].seeds) == 1 else f"Seeds {seeds}; figures of the first.",
        f"LM {grid.base.lm.name}, {', '.join(f'{n:,}' for n in shots) or 'no'} shots.",
        *([f"Settings: {', '.join(grid.settings)}."] if grid.settings else []),
        "HR@1 and NDCG@5 of the ranking of candidates; said: of answers in words, over all rows.",
        f"{evaluated.confidence:.0%} intervals by {evaluated.resamples:,} bootstrap resamples.",
        "trains: parameters in millions, in this LM and in one of "
        f"{LLAMA_2_7B}'s shape; at most {_most_gates(cells)} of the former are gates'.",
    ]
    if grid.reference is not None:
        parts.append(
            f"over: HR@1 minus that of {grid.reference}. * differs from it on the same rows: "
            f"p < {SIGNIFICANT}, paired bootstrap."
        )
    printed = [f"{cell.label} {_printed(cell)}" for cell in cells if cell.published]
    if printed:
        parts.append(
            f"LLaRA's authors print, with Llama2-7B on the whole test split: {'; '.join(printed)}."
        )
    return " ".join(parts)


def _printed(cell: NextCellResult) -> str:
    known = {title: cell.published.get(name) for name, title in _PUBLISHED.items()}
    return ", ".join(f"{title} {value:.4f}" for title, value in known.items() if value is not None)


def _most_gates(cells: _Cells) -> str:
    return f"{max((cell.parameters.gates for cell in cells if cell.parameters), default=0):,}"
