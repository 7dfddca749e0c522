"""An evaluation of the task ``next`` as files: JSON, or a table as CSV, Markdown and LaTeX."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from reclora_cli import tabular
from reclora_cli.metrics.compare import Figure
from reclora_cli.stages.evaluation_tables import JSON, check_format, save_json
from reclora_cli.stages.next_evaluated import EvaluateNextResult, NextModelResult
from reclora_cli.tabular import Cell, Column, Marked, Table

TITLES = {
    "hit_ratio@1": "HR@1",
    "ndcg@5": "NDCG@5",
    "mrr": "MRR",
    "said_hit_ratio@1": "HR@1 said",
    "said_hit_ratio@1_valid": "HR@1 said, valid",
    "said_valid_ratio": "ValidRatio",
}
"""Figures in the order of tables, and what tables call them."""


def save(result: EvaluateNextResult, path: Path) -> None:
    """Write the result as JSON, or its table.

    Raises:
        UsageError: as ``check_format``.
        RecloraError: the file cannot be written.
    """
    if check_format(path) == JSON:
        save_json(asdict(result), path)
    else:
        tabular.save(main_table(result), path)


def main_table(result: EvaluateNextResult) -> Table:
    """A line a model: the best of each figure in bold, ``*`` for p < 0.01 against the reference."""
    sure = f"{result.confidence:.0%} interval"
    pairs = {one.model: one.figures for one in result.differences}
    columns = [Column("method", "left")]
    for title in TITLES.values():
        columns += [Column(title), Column(f"{title}, {sure}")]

    def cells(model: NextModelResult) -> list[Cell]:
        made: list[Cell] = [model.method]
        for name in TITLES:
            found = model.figures.get(name, Figure(None, None, None))
            tested = pairs.get(model.name, {}).get(name)
            star = "*" if tested and tested.significant else ""
            made += [Marked(found.value, star, bold=_is_best(result, name, found.value))]
            made += [None if found.low is None else f"[{found.low:.4f}, {found.high:.4f}]"]
        return made

    return Table(
        title=f"{result.dataset}: {result.rows} {result.split} rows, "
        f"{result.candidates} candidates, seed {result.seed}",
        columns=tuple(columns),
        rows=tuple(tuple(cells(model)) for model in result.models),
    )


def _is_best(result: EvaluateNextResult, name: str, value: float | None) -> bool:
    known = [
        figure.value
        for model in result.models
        if (figure := model.figures.get(name)) and figure.value is not None
    ]
    return value is not None and value == max(known)
