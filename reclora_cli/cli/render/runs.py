"""Runs of a workspace: all of them in a table, one of them whole, and those just removed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import NONE, count, duration, interval, measure, size
from reclora_cli.cli.render.layout import Fitted, heading, indented, pairs, stack, table

if TYPE_CHECKING:
    from reclora_cli.metrics.compare import Figure
    from reclora_cli.recipe.delta import ChangedKey
    from reclora_cli.stages.list_runs import RunLine, RunsList
    from reclora_cli.stages.remove_runs import RemovedRuns
    from reclora_cli.stages.show_run import ShownRun

_NARROW, _WIDE = 92, 130
"""Columns below which the time taken is left out, and from which method, LM and intervals fit."""
_FINISHED, _UNFINISHED = "finished", "unfinished"


def listed(result: RunsList) -> RenderableType:
    """A table for each dataset; wide terminals are told more."""
    if not result.runs:
        return Text(f"No run in {result.workspace} yet. Next: reclora finetune")
    by_dataset = groupby(result.runs, key=lambda line: line.dataset)
    return stack(*(_of_dataset(name, list(lines)) for name, lines in by_dataset))


def _of_dataset(dataset: str, lines: Sequence[RunLine]) -> RenderableType:
    """A table for each task: their figures are not of one kind."""
    of_next = [line for line in lines if line.task == "next"]
    others = [line for line in lines if line.task != "next"]
    tables = ((dataset, others, "AUC"), (dataset, of_next, "HR@1"))
    return stack(*(_of_task(name, own, metric) for name, own, metric in tables if own))


def _of_task(dataset: str, lines: Sequence[RunLine], metric: str) -> RenderableType:
    runs = f"{count(len(lines))} run{'' if len(lines) == 1 else 's'}"
    about = runs if metric == "AUC" else f"{runs} of the task next"
    return stack(
        heading(dataset, about),
        Fitted(
            lambda width: (
                _wide(lines, metric) if width >= _WIDE else _few(lines, metric, width >= _NARROW)
            )
        ),
    )


def _few(lines: Sequence[RunLine], metric: str, took: bool) -> Table:
    times = ("took",) if took else ()
    made = table("run", "shots", "seed", "when", *times, f"test {metric}", "n", left=("when",))
    for line in lines:
        made.add_row(
            Text(line.name, "strong"),
            _or_none(line.shots),
            _or_none(line.seed),
            _when(line, 10),
            *([_took(line)] if took else []),
            *_test(line),
        )
    return made


def _wide(lines: Sequence[RunLine], metric: str) -> Table:
    made = table(
        *("run", "method", "shots", "seed", "LM", "when", "took", f"test {metric} [95%]", "n"),
        left=("method", "LM", "when"),
    )
    for line in lines:
        told, rows = _test(line)
        figure = _figure(line)
        if figure is not None:
            told.append(f" {interval(figure.low, figure.high, 3)}", "faint")
        made.add_row(
            Text(line.name, "strong"),
            line.method or NONE,
            _or_none(line.shots),
            _or_none(line.seed),
            line.lm or NONE,
            _when(line, 10),
            _took(line),
            told,
            rows,
        )
    return made


def _figure(line: RunLine) -> Figure | None:
    """What a run reaches on test rows: its AUC, or HR@1 of the task ``next``."""
    if line.next_test is not None:
        return line.next_test.hit_ratio
    return line.test.auc if line.test else None


def _test(line: RunLine) -> tuple[Text, Text]:
    figure, kept = _figure(line), line.next_test or line.test
    if figure is None or kept is None:
        return Text(NONE), Text(NONE)
    return Text(measure(figure.value)), Text(count(kept.rows))


def _when(line: RunLine, letters: int) -> Text:
    if line.state == _FINISHED:
        return Text(line.written[:letters].replace("T", " "))
    reached = line.state == _UNFINISHED and line.step
    return Text(f"step {count(line.step)}" if reached else line.state, "warn")


def _took(line: RunLine) -> str:
    return NONE if line.seconds is None else duration(line.seconds)


def _or_none(value: int | None) -> str:
    return NONE if value is None else count(value)


def shown(result: ShownRun) -> RenderableType:
    """Facts, recipe, inputs, evaluations, files, and how to repeat it."""
    line = result.line
    state = (
        line.written[:16].replace("T", " ")
        if line.state == _FINISHED
        else f"{line.state}, step {count(line.step)}"
    )
    return stack(
        heading(line.name, f"{line.dataset}; {state}"),
        indented(_facts(result)),
        _section(f"recipe, against {result.base}", changes(result.changed, ("base", "here"))),
        _section("evaluations", _evaluations(result)) if result.evaluations else None,
        _section("files", _files(result)),
        Text.assemble(("Repeat: ", "key"), (result.repeat, "strong")),
    )


def _section(title: str, part: RenderableType) -> RenderableType:
    return Group(Text(title, "strong"), indented(part))


def _facts(result: ShownRun) -> Table:
    line, manifest = result.line, result.manifest
    entries: dict[str, RenderableType] = {
        "method": f"{line.method}, {_or_none(line.shots)} shots, seed {line.seed}",
        "LM": str(line.lm),
        "folder": result.path,
    }
    if manifest is not None:
        figures = manifest.figures
        entries |= {
            "tuned": f"{count(line.step)} steps in {duration(manifest.seconds)}; "
            f"{count(figures.get('trainable_parameters', 0))} parameters; "
            f"loss {_loss(figures.get('first_loss'))} to {_loss(figures.get('last_loss'))}",
            "made from": _inputs(result),
            "machine": ", ".join(
                [manifest.machine, *(f"{k} {v}" for k, v in manifest.versions.items())]
            ),
            "revision": manifest.git_revision or NONE,
        }
    return pairs(entries)


def _loss(value: Any) -> str:
    return NONE if value is None else f"{value:.3f}"


def _inputs(result: ShownRun) -> Text:
    told = Text()
    for at, found in enumerate(result.inputs):
        told.append(", " if at else "")
        told.append(f"{found.name} ")
        told.append(found.state, "" if found.state == "same" else "warn")
    return told


def changes(found: Sequence[ChangedKey], columns: tuple[str, str]) -> RenderableType:
    """Keys with both values; a line where there is none."""
    if not found:
        return Text("no key differs", "faint")
    made = table("key", *columns, left=columns)
    for one in found:
        made.add_row(one.key, _value(one.before), _value(one.after))
    return made


def _value(value: Any) -> str:
    """A section that the other recipe has none of is named; ``--json`` has it whole."""
    if isinstance(value, dict):
        keys = f"{count(len(value))} keys"
        return f"{value['model']}, {keys}" if "model" in value else keys
    return NONE if value is None else str(value)


def _evaluations(result: ShownRun) -> Table:
    of_next = result.line.task == "next"
    main, second = ("hit_ratio@1", "said_valid_ratio") if of_next else ("auc", "log_loss")
    heads = ("HR@1 [95%]", "ValidRatio") if of_next else ("AUC [95%]", "LogLoss")
    made = table("rows", *heads, "beside", left=("beside",))
    for one in result.evaluations:
        figure, other = one.figures.get(main), one.figures.get(second)
        told = Text(measure(figure.value if figure else None))
        if figure:
            told.append(f" {interval(figure.low, figure.high, 3)}", "faint")
        rows = f"{one.split} {count(one.rows)}{' (subset)' if one.subset else ''}"
        beside = ", ".join(one.beside) or NONE
        made.add_row(
            rows,
            told,
            measure(other.value if other else None),
            beside if one.current else f"{beside}; of this run before it was tuned again",
        )
    return made


def _files(result: ShownRun) -> Table:
    made = table("file", "size")
    for file in result.files:
        made.add_row(file.path, size(file.bytes))
    made.add_row("all", size(sum(file.bytes for file in result.files)), style="strong")
    return made


def removed(result: RemovedRuns) -> RenderableType:
    """What is gone, and what refers to it and stays."""
    if not result.removed:
        return Text("Nothing was removed.")
    lines: list[RenderableType] = []
    for one in result.removed:
        lines.append(
            Text.assemble(("Removed ", "strong"), f"{one.name} of {one.dataset}, {size(one.bytes)}")
        )
        lines += [Text(f"  stays: {path}", "faint") for path in one.stays]
    return Group(*lines)
