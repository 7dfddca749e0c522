"""The home screen: what the workspace holds, the best figures, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.overview import FINISHED, Holding, NextStep, Overview
from reclora_cli.cli.render.figures import NONE, count, interval, measure
from reclora_cli.cli.render.layout import Fitted, heading, indented, stack, table

_WIDE = 120
"""Columns from which what an artefact holds, and intervals, fit."""

_SHOWN = 6
"""Of each kind: the best, and the newest."""

_PREPARED = {"dataset", "sequences"}
_MORE = {
    "run": "more runs: reclora runs ls",
    "crm": "more CRMs: reclora report",
    "encoder": "more encoders: reclora --json",
    "index": "more indexes: reclora --json",
}


def render(found: Overview) -> RenderableType:
    """Datasets with their artefacts, or how to begin; then commands."""
    if not found.holdings:
        return stack(
            heading(f"Nothing in {found.workspace} yet"), indented(_next(found.next_steps))
        )
    by_dataset = groupby(found.holdings, key=lambda one: one.dataset)
    return stack(
        heading(found.workspace),
        *(_dataset(name, list(inside)) for name, inside in by_dataset),
        stack(Text("Next", "strong"), indented(_next(found.next_steps))),
    )


def _dataset(name: str, holdings: Sequence[Holding]) -> RenderableType:
    prepared = [one for one in holdings if one.kind in _PREPARED]
    made = [one for one in holdings if one.kind not in _PREPARED]
    told = "; ".join(f"{_holds(one)}, {_state(one)}" for one in prepared)
    parts: list[RenderableType | None] = [heading(name, told)]
    if made:
        chosen, left_out = _chosen(made)
        parts.append(
            indented(Fitted(lambda width: _wide(chosen) if width >= _WIDE else _few(chosen)))
        )
        parts.append(indented(Text(left_out, "faint")) if left_out else None)
    return stack(*parts)


def _chosen(made: Sequence[Holding]) -> tuple[list[Holding], str]:
    """The best and the newest of each kind, and a line about the others."""
    shown: list[Holding] = []
    left_out: list[str] = []
    for kind, inside in groupby(made, key=lambda one: one.kind):
        held = list(inside)
        best = [one for one in held if one.best]
        newest = [one for one in reversed(held) if not one.best]
        shown += [*best, *newest][:_SHOWN]
        if len(held) > _SHOWN:
            left_out.append(f"{count(len(held) - _SHOWN)} {_MORE[kind]}")
    return shown, "; ".join(left_out)


def _few(holdings: Sequence[Holding]) -> Table:
    """Figures on test rows; where nothing has any, what each holds."""
    if not any(one.test for one in holdings):
        made = table("", "name", "state", "holds", left=("name", "state", "holds"))
        for one in holdings:
            made.add_row(Text(one.kind, "key"), _name(one), _state(one), _holds(one))
        return made
    made = table("", "name", "state", f"test {_metric(holdings)}", "n", left=("name", "state"))
    for one in holdings:
        figure, rows = _test(one)
        made.add_row(Text(one.kind, "key"), _name(one), _state(one), figure, rows)
    return made


def _wide(holdings: Sequence[Holding]) -> Table:
    made = table(
        *("", "name", "state", "holds", f"test {_metric(holdings)} [95%]", "n"),
        left=("name", "state", "holds"),
    )
    for one in holdings:
        figure, rows = _test(one)
        if one.test:
            figure.append(f" {interval(one.test.figure.low, one.test.figure.high, 3)}", "faint")
        made.add_row(Text(one.kind, "key"), _name(one), _state(one), _holds(one), figure, rows)
    return made


def _name(one: Holding) -> Text:
    return Text.assemble((one.name, "strong"), (" best", "good") if one.best else "")


def _test(one: Holding) -> tuple[Text, str]:
    if one.test is None:
        return Text(NONE), NONE
    return Text(measure(one.test.figure.value), "good" if one.best else ""), count(one.test.rows)


def _metric(holdings: Sequence[Holding]) -> str:
    """What the figures are; of a dataset that is prepared for both tasks they are of two kinds."""
    return " or ".join(dict.fromkeys(one.test.metric for one in holdings if one.test)) or "AUC"


def _state(one: Holding) -> Text:
    if one.state == FINISHED:
        return Text(one.written[:10])
    return Text(f"step {count(one.step)}" if one.step else one.state, "warn")


def _next(steps: Sequence[NextStep]) -> RenderableType:
    """Commands with what each is for: beside it where all fit, else below it."""
    beside = max(len(step.command) + len(step.why) + 2 for step in steps)
    return Fitted(lambda width: _commands(steps, "  " if beside <= width else "\n    "))


def _commands(steps: Sequence[NextStep], between: str) -> Text:
    lines = [
        Text.assemble((step.command, "strong"), (f"{between}{step.why}", "faint")) for step in steps
    ]
    return Text("\n").join(lines)


def _holds(holding: Holding) -> str:
    figures = holding.figures
    if holding.state != FINISHED:
        return NONE
    if holding.kind == "dataset":
        return f"{count(figures['samples'])} rows of {count(figures['users'])} users"
    if holding.kind == "sequences":
        rows = "/".join(count(figures[name]) for name in ("train", "valid", "test"))
        return f"{rows} rows, {figures['candidates']} candidates"
    if holding.kind == "encoder":
        return f"validation NDCG@5 {measure(figures['validation']['figures']['ndcg@5'])}"
    if holding.kind == "index":
        return f"{count(figures['items'])} items"
    if holding.kind == "run":
        return f"{count(figures['shots'])} shots, loss {figures['last_loss']:.3f}"
    return f"validation AUC {measure(figures['validation']['all']['auc'])}"
