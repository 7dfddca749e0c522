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
    from reclora_cli.recipe.delta import ChangedKey
    from reclora_cli.stages.list_runs import RunLine, RunsList
    from reclora_cli.stages.remove_runs import RemovedRuns
    from reclora_cli.stages.show_run import EvaluatedRun, ShownRun

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
    runs = f"{count(len(lines))} run{'' if len(lines) == 1 else 's'}"
    return stack(
        heading(dataset, runs),
        Fitted(lambda width: _wide(lines) if width >= _WIDE else _few(lines, width >= _NARROW)),
    )


def _few(lines: Sequence[RunLine], took: bool) -> Table:
    times = ("took",) if took else ()
    made = table("run", "shots", "seed", "when", *times, "test AUC", "n", left=("when",))
    for line in lines:
        made.add_row(
            Text(line.name, "strong"),
            _or_none(line.shots),
            _or_none(line.seed),
            _when(line, 10),
            *([_took(line)] if took else []),
            *_auc(line),
        )
    return made


def _wide(lines: Sequence[RunLine]) -> Table:
    made = table(
        *("run", "method", "shots", "seed", "LM", "when", "took", "test AUC [95%]", "n"),
        left=("method", "LM", "when"),
    )
    for line in lines:
        auc, rows = _auc(line)
        if line.test:
            auc.append(f" {interval(line.test.auc.low, line.test.auc.high, 3)}", "faint")
        made.add_row(
            Text(line.name, "strong"),
            line.method or NONE,
            _or_none(line.shots),
            _or_none(line.seed),
            line.lm or NONE,
            _when(line, 10),
            _took(line),
            auc,
            rows,
        )
    return made


def _auc(line: RunLine) -> tuple[Text, Text]:
    if line.test is None:
        return Text(NONE), Text(NONE)
    return Text(measure(line.test.auc.value)), Text(count(line.test.rows))


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
        _section("evaluations", _evaluations(result.evaluations)) if result.evaluations else None,
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


def _evaluations(found: Sequence[EvaluatedRun]) -> Table:
    made = table("rows", "AUC [95%]", "LogLoss", "beside", left=("beside",))
    for one in found:
        auc, loss = one.figures.get("auc"), one.figures.get("log_loss")
        told = Text(measure(auc.value if auc else None))
        if auc:
            told.append(f" {interval(auc.low, auc.high, 3)}", "faint")
        rows = f"{one.split} {count(one.rows)}{' (subset)' if one.subset else ''}"
        beside = ", ".join(one.beside) or NONE
        made.add_row(
            rows,
            told,
            measure(loss.value if loss else None),
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
