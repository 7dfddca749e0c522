"""One row of the task ``next`` as a run sees it: history, candidates, words, gate weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.explain import departure, layers
from reclora_cli.cli.render.figures import count, duration, measure
from reclora_cli.cli.render.layout import Fitted, heading, indented, pairs, stack, table
from reclora_cli.cli.render.marks import Bar

if TYPE_CHECKING:
    from reclora_cli.stages.explain_next import Candidate, ExplainNextResult
    from reclora_cli.stages.gate_view import GateView

_ROOMY, _SIDE_BY_SIDE = 100, 150
"""Columns from which bars are long, and candidates and gate weights stand beside each other."""

_BAR, _SHORT_BAR = 16, 9


def render(result: ExplainNextResult) -> RenderableType:
    """Everything the result holds but the prompt's text, which ``--json`` carries."""
    drawn = Text.assemble(("Drawn into ", "key"), result.plot) if result.plot else None
    return stack(
        heading(f"{result.dataset}, {result.split} row {result.row}", f"run {result.run}"),
        indented(_facts(result)),
        _history(result),
        Fitted(lambda width: _candidates_and_gate(result, width)),
        drawn,
        Text(
            "This inspects the model: it tells what it computes of this row, not why.\n"
            f"Explained in {duration(result.seconds)}.",
            "faint",
        ),
    )


def _facts(result: ExplainNextResult) -> Table:
    truth = result.truth
    beside = f"; {_encoder(result)} has it at {truth.encoder_rank}" if result.encoder else ""
    return pairs(
        {
            "user": result.user or Text("not known", "faint"),
            "came next": Text.assemble(
                (truth.title, "strong"),
                f", at {truth.rank} of {len(result.candidates)} by likelihood{beside}",
            ),
            "LM says": _answer(result),
        }
    )


def _answer(result: ExplainNextResult) -> Text:
    named = [one for one in result.candidates if one.said]
    if not result.answer:
        return Text("nothing", "warn")
    told = Text.assemble((result.answer, "strong"))
    if not named:
        return told.append(", which names no candidate", "warn")
    if len(named) > 1:
        return told.append(f", which {count(len(named))} candidates are called", "warn")
    came = "which came next" if named[0].truth else "which did not come next"
    told.append(f", {came}", "good" if named[0].truth else "")
    return told if named[0].rank == 1 else told.append(f"; by likelihood at {named[0].rank}")


def _history(result: ExplainNextResult) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for number, title in enumerate(result.history, start=1):
        grid.add_row(Text(str(number), "faint", justify="right"), Text(title))
    notes = ["in time order"]
    if result.hybrid:
        notes.append(f"in the prompt each title is followed by its {result.noun}'s embedding")
    if result.shortened:
        notes.append("the prompt holds the latest of them: the LM's context is too short for all")
    return Group(heading("History", "; ".join(notes)), indented(grid))


def _candidates_and_gate(result: ExplainNextResult, width: int) -> RenderableType:
    candidates = _candidates(result, _BAR if width >= _ROOMY else _SHORT_BAR)
    if result.gate is None:
        note = Text("This run's adapter has no gate: it is the same for every row.", "faint")
        return stack(candidates, note)
    gate = _gate(result.gate, result.gate_scope == "shared", width)
    if width < _SIDE_BY_SIDE:
        return stack(candidates, gate)
    grid = Table.grid(padding=(0, 4))
    grid.add_row(candidates, gate)
    return grid


def _candidates(result: ExplainNextResult, bar: int) -> RenderableType:
    beside = [] if result.encoder is None else [_encoder(result)]
    made = table("", "candidate", "p", "", "log p", *beside, " ", left=("candidate", " "))
    most = max(one.probability for one in result.candidates)
    for one in result.candidates:
        made.add_row(
            str(one.rank),
            Text(one.title, "strong" if one.truth else ""),
            measure(one.probability, 3),
            Bar(one.probability / max(most, 1e-9), bar),
            f"{one.log_likelihood:.2f}",
            *([str(one.encoder_rank)] if beside else []),
            _marks(one),
        )
    how = "p among the candidates"
    if beside:
        how += f"; {beside[0]}: its own ranking"
    return Group(heading(f"{len(result.candidates)} candidates by likelihood", how), indented(made))


def _marks(one: Candidate) -> Text:
    told = Text("came next", "good") if one.truth else Text()
    if one.said:
        told.append(", said" if one.truth else "said", "key")
    return told


def _encoder(result: ExplainNextResult) -> str:
    """The encoder's kind: its name without the fingerprint."""
    return (result.encoder or "").rpartition("-")[0]


def _gate(gate: GateView, shared: bool, width: int) -> RenderableType:
    """Bars by expert; where gates are separate also layers by expert."""
    projections = count(len(gate.projections))
    about = f"one gate for {projections} projections" if shared else f"mean of {projections} gates"
    bars = Group(
        heading("Gate weights by expert", about),
        indented(_weights(gate)),
        indented(_summary(gate)),
    )
    if shared:
        return bars
    heat = Group(
        heading("This row's gate weights by layer", "down: layers, across: experts"),
        indented(layers(gate, width)),
    )
    return stack(bars, heat)


def _weights(gate: GateView) -> Table:
    made = table("expert", "this row", "", "shots ± sd", "departure", left=("",))
    most = max(max(gate.row), 1e-9)
    for expert, (weight, average, spread, apart) in enumerate(
        zip(gate.row, gate.average, gate.average_sd, gate.departure, strict=True)
    ):
        made.add_row(
            str(expert),
            measure(weight, 3),
            Bar(weight / most, _BAR),
            f"{measure(average, 3)} ± {measure(spread, 3)}",
            departure(apart),
        )
    return made


def _summary(gate: GateView) -> Text:
    return Text.assemble(
        ("Departure", "key"),
        f" of this row from the run's shots: {gate.distance:.1%} of the weight moved.\n",
        ("Entropy", "key"),
        f" of this row's mixture: {gate.row_entropy:.2f} bits; an even one has "
        f"{math.log2(gate.experts):.2f}.",
    )
