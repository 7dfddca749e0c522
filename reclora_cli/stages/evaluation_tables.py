"""An evaluation as files: the whole result as JSON, or tables of it as CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reclora_cli import tabular
from reclora_cli.errors import RecloraError
from reclora_cli.metrics.compare import SIGNIFICANT, Figure, Figures
from reclora_cli.metrics.over_seeds import MeanSd
from reclora_cli.stages.break_downs import Slice, SliceFigures
from reclora_cli.stages.evaluated import EvaluateResult, ModelResult, PairResult, short_names
from reclora_cli.tabular import Cell, Column, Marked, Table
from reclora_cli.workspace import write_json

JSON = ".json"
_SETS = ("all", "seen_users", "unseen_users")
_METRICS = ("auc", "log_loss", "accuracy", "user_auc", "ece")


def check_format(path: Path) -> str:
    """The format that ``path`` asks for.

    Raises:
        UsageError: its name ends in none of ``.json``, ``.csv``, ``.md``, ``.tex``.
    """
    return tabular.check_format(path, also=(JSON,))


def save(result: EvaluateResult, path: Path) -> None:
    """Write the result as JSON, every figure as CSV, or the main table (and that of seeds).

    Raises:
        UsageError: as ``check_format``.
        RecloraError: the file cannot be written.
    """
    suffix = check_format(path)
    if suffix == ".csv":
        tabular.save(every_figure(result), path)
    elif suffix != JSON:
        tabular.save([main_table(result), *([seeds_table(result)] if result.seeds else [])], path)
    else:
        save_json(asdict(result), path)


def save_json(result: Mapping[str, Any], path: Path) -> None:
    """Write a result's fields.

    Raises:
        RecloraError: the file cannot be written.
    """
    try:
        write_json(path, result)
    except OSError as error:
        raise RecloraError(
            f"the result cannot be written ({error.strerror})",
            where=str(path),
            hint="Name a file in a folder that you may write to.",
        ) from error


def main_table(result: EvaluateResult) -> Table:
    """A line a model on all rows, as papers have it: the best in bold, ``*`` for p < 0.01."""
    names, sure = short_names(result.models), f"{result.confidence:.0%} interval"
    pairs = {pair.model: pair for pair in result.differences}
    best = {
        "auc": _best(result, "auc", highest=True),
        "log_loss": _best(result, "log_loss", highest=False),
    }

    def figure(model: ModelResult, metric: str) -> list[Cell]:
        found: Figure = getattr(model.all, metric)
        pair = pairs.get(model.name)
        star = "*" if pair and getattr(pair, metric).significant else ""
        is_best = found.value is not None and found.value == best[metric]
        return [Marked(found.value, star, bold=is_best), _interval(found)]

    rows: list[list[Cell]] = [
        [
            names[model.name],
            *figure(model, "auc"),
            *figure(model, "log_loss"),
            pairs[model.name].relative if model.name in pairs else None,
            model.all.user_auc.value,
            model.all.ece.value,
        ]
        for model in result.models
    ]
    columns = [
        Column("Model", "left"),
        *(Column("AUC"), Column(sure), Column("LogLoss"), Column(sure)),
        *(Column("RelImpr", digits=2, signed=True, percent=True), Column("user-AUC")),
        Column("ECE"),
    ]
    return Table(columns, rows, _title(result), _note(result, names))


def seeds_table(result: EvaluateResult) -> Table:
    """A line for models that differ in their seed alone: mean ± standard deviation."""
    columns = [Column("Model", "left"), Column("seeds")]
    columns += [Column(name) for name in ("AUC", "LogLoss", "accuracy", "user-AUC", "ECE")]
    rows = [
        [
            group.method,
            ", ".join(map(str, group.seeds)),
            *(_mean_sd(getattr(group, metric)) for metric in _METRICS),
        ]
        for group in result.seeds
    ]
    note = "Mean ± standard deviation (n - 1) over runs that differ in their seed alone."
    return Table(columns, rows, f"{_title(result)}, over seeds", note)


def every_figure(result: EvaluateResult) -> Table:
    """A line for each model and set of rows, with all that is known of it.

    Differences stand in the lines of all rows; slices have AUC and LogLoss alone.
    """
    pairs = {pair.model: pair for pair in result.differences}
    lines = []
    for model in result.models:
        for name in _SETS:
            of: Figures = getattr(model, name)
            pair = pairs.get(model.name) if name == "all" else None
            lines.append(_told(result, model, name, of) | _whole(of) | _compared(pair))
        lines += [
            _told(result, model, f"{one.by} {one.bin}", one) | _figures(one.models[model.name])
            for one in result.slices
        ]
    columns = [Column(name) for name in _columns()]
    return Table(columns, [[line.get(column.name) for column in columns] for line in lines])


def _columns() -> list[str]:
    """Names of the CSV file's columns; stable."""
    names = ["dataset", "split", "rows_hash", "model", "method", "kind", "set", "rows", "base_rate"]
    names += [f"{metric}{end}" for metric in _METRICS for end in ("", "_low", "_high")]
    names += ["user_auc_users", "user_auc_rows", "reference", "relative"]
    ends = ("", "_low", "_high", "_p", "_significant")
    return names + [f"{metric}_difference{end}" for metric in ("auc", "log_loss") for end in ends]


def _told(
    result: EvaluateResult, model: ModelResult, name: str, of: Figures | Slice
) -> dict[str, Cell]:
    return {
        "dataset": result.dataset,
        "split": result.split,
        "rows_hash": result.rows_hash,
        "model": model.name,
        "method": model.method,
        "kind": model.kind,
        "set": name,
        "rows": of.rows,
        "base_rate": of.base_rate,
    }


def _whole(of: Figures) -> dict[str, Cell]:
    return _figures(of) | {"user_auc_users": of.user_auc.users, "user_auc_rows": of.user_auc.rows}


def _figures(of: Figures | SliceFigures) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for metric in _METRICS:
        figure: Figure | None = getattr(of, metric, None)
        if figure is not None:
            found |= {
                metric: figure.value,
                f"{metric}_low": figure.low,
                f"{metric}_high": figure.high,
            }
    return found


def _compared(pair: PairResult | None) -> dict[str, Cell]:
    if pair is None:
        return {}
    found: dict[str, Cell] = {"reference": pair.reference, "relative": pair.relative}
    for metric, of in (("auc", pair.auc), ("log_loss", pair.log_loss)):
        name = f"{metric}_difference"
        found |= {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high}
        found |= {
            f"{name}_p": of.p_tested,
            f"{name}_significant": "yes" if of.significant else "no",
        }
    return found


def _best(result: EvaluateResult, metric: str, *, highest: bool) -> float | None:
    values = [getattr(model.all, metric).value for model in result.models]
    known = [value for value in values if value is not None]
    return (max if highest else min)(known, default=None)


def _interval(figure: Figure) -> str | None:
    if figure.low is None or figure.high is None:
        return None
    return f"[{figure.low:.4f}, {figure.high:.4f}]"


def _mean_sd(of: MeanSd) -> str | None:
    return None if of.mean is None or of.sd is None else f"{of.mean:.4f} ± {of.sd:.4f}"


def _title(result: EvaluateResult) -> str:
    part = f"a subset of {result.rows:,} of" if result.subset else "all"
    return f"{result.dataset}, {part} {result.of:,} {result.split} rows"


def _note(result: EvaluateResult, names: dict[str, str]) -> str:
    counted = result.models[0].all.user_auc
    parts = [f"Rows {result.rows_hash}, seed {result.seed}; {result.resamples:,} resamples."]
    if result.differences:
        reference = names[result.reference]
        parts.append(
            f"RelImpr: AUC over that of {reference}, less 1. * differs from {reference}, "
            f"p < {SIGNIFICANT}: DeLong's test for AUC, the paired bootstrap for LogLoss."
        )
    parts.append(f"user-AUC: of {counted.users:,} users with {counted.rows:,} rows. ECE: 15 bins.")
    return " ".join(parts)
