"""One user as a run sees them: profile, target, behaviours, gate weights, P(yes)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.explained_behaviours import behaviours
from reclora_cli.cli.render.figures import count, difference, duration, measure, stars
from reclora_cli.cli.render.layout import Fitted, heading, indented, pairs, stack, table
from reclora_cli.cli.render.marks import Bar, HeatMap

if TYPE_CHECKING:
    from reclora_cli.stages.explain import ExplainResult
    from reclora_cli.stages.explaining.explained_user import Target
    from reclora_cli.stages.explaining.neighbours import Neighbour
    from reclora_cli.stages.gate_view import GateView

_SIDE_BY_SIDE = 130
"""Columns from which bars and heat map stand beside each other."""

_BAR = 22

_NOTE = (
    "This inspects the model and names no causes: what it computes of this user, not why the user "
    "likes what. --what-if asks it again with one thing changed."
)


def render(result: ExplainResult) -> RenderableType:
    """Everything the result holds but the prompt's text, which ``--json`` carries."""
    gate = result.gate
    no_gate = Text("This run's adapter has no gate: it is the same for every user.", "faint")
    drawn = Text.assemble(("Drawn into ", "key"), result.plot) if result.plot else None
    return stack(
        heading(f"User {result.user}", f"{result.dataset}, run {result.run}"),
        indented(_facts(result)),
        Fitted(lambda width: behaviours(result, width)) if result.target else None,
        Fitted(lambda width: _gate(gate, width)) if gate else no_gate,
        _neighbours(result) if gate else None,
        drawn,
        Text(_NOTE, "faint"),
        Text(f"Explained in {duration(result.seconds)}.", "faint"),
    )


def _facts(result: ExplainResult) -> Table:
    entries: dict[str, RenderableType] = {
        "profile": ", ".join(f"{name} {value}" for name, value in result.profile.items()),
        "rows": _rows(result),
        "target": _target(result.target, result.scale_top),
    }
    if result.probability is not None:
        entries["P(yes)"] = _probability(result.probability)
    if result.crm_probability is not None:
        entries["CRM says"] = _probability(result.crm_probability)
    return pairs(entries)


def _rows(result: ExplainResult) -> Text:
    by_split = ", ".join(f"{count(n)} {name}" for name, n in result.rows.items() if n)
    text = Text(f"{count(sum(result.rows.values()))} ({by_split})" if by_split else "none")
    if not result.seen_in_training:
        text.append("; the CRM never saw this user in training", style="warn")
    return text


def _target(target: Target | None, top: float) -> Text:
    if target is None:
        return Text("none: this gate reads the user alone, here as of now", "faint")
    genre = f", {target.genre}" if target.genre else ""
    text = Text.assemble((target.title, "strong"), genre)
    if target.date is None:
        return text.append("; the user has not rated it", style="faint")
    row = f"{target.split} row {target.row_id}"
    text.append(f"; {'one of the first behaviours' if target.row_id is None else row}, ")
    text.append(f"{target.date}, ")
    text.append(stars(target.rating or 0.0, top))
    return text.append(" like" if target.label else " dislike", "good" if target.label else "warn")


def _probability(value: float) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text(measure(value, 3), "strong"), Bar(value, _BAR))
    return grid


def _gate(gate: GateView, width: int) -> RenderableType:
    """Bars by expert, and layers by expert: beside each other where there is room."""
    bars = Group(
        heading("Gate weights by expert", f"mean over {len(gate.projections)} projections"),
        indented(_weights(gate)),
        indented(_summary(gate)),
    )
    heat = Group(
        heading("This row's gate weights by layer", "down: layers, across: experts"),
        indented(layers(gate, width)),
        Text(),
        heading("and by kind of projection", "mean over layers"),
        indented(_kinds(gate, width)),
    )
    if width < _SIDE_BY_SIDE:
        return stack(bars, heat)
    grid = Table.grid(padding=(0, 4))
    grid.add_row(bars, heat)
    return grid


def layers(gate: GateView, width: int) -> HeatMap:
    """The row's weights by layer, as wide as there is room for."""
    names = [str(layer) for layer in range(len(gate.by_layer))]
    return HeatMap(gate.by_layer, names, cell=3 if gate.experts * 3 + 8 <= width else 1)


def _kinds(gate: GateView, width: int) -> HeatMap:
    label = max(map(len, gate.kinds), default=0)
    return HeatMap(gate.by_kind, gate.kinds, cell=3 if gate.experts * 3 + label + 6 <= width else 1)


def _neighbours(result: ExplainResult) -> RenderableType:
    if not result.neighbours:
        return Text("No other user was drawn to compare with.", "faint")
    shown = Table.grid(padding=(0, 2))
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for one in result.neighbours:
        shown.add_row(Text(f"user {one.user}", "strong"), _shared(one))
    return Group(
        heading("Nearest in gate space", f"of {count(result.sampled_users)} users drawn"),
        indented(shown),
    )


def _shared(one: Neighbour) -> Text:
    same = ", ".join(f"{name} {value}" for name, value in one.profile.items()) or "nothing"
    liked = f"; both liked {count(one.liked_count)}"
    if one.liked:
        liked += f", {'; '.join(one.liked)}{' and others' * (one.liked_count > len(one.liked))}"
    genres = f"; both like more than average: {', '.join(one.genres)}" if one.genres else ""
    return Text(f"{one.distance:.1%} of the weight apart. Same profile: {same}{genres}{liked}.")


def _weights(gate: GateView) -> Table:
    rows = f"user ± sd, {count(gate.user_rows)} rows" if gate.user_rows else "user"
    made = table("expert", "this row", "", rows, "average", "departure", left=("",))
    most = max(max(gate.row), 1e-9)
    for expert, (weight, user, spread, average, apart) in enumerate(
        zip(gate.row, gate.user, gate.user_sd, gate.average, gate.departure, strict=True)
    ):
        made.add_row(
            str(expert),
            measure(weight, 3),
            Bar(weight / most, _BAR),
            f"{measure(user, 3)} ± {measure(spread, 3)}",
            measure(average, 3),
            departure(apart),
        )
    return made


def departure(value: float) -> Text:
    """A difference of weights, coloured by its sign."""
    style = "" if round(value, 3) == 0 else "bar.over" if value > 0 else "bar.under"
    return Text(difference(value, 3), style)


def _summary(gate: GateView) -> Text:
    return Text.assemble(
        ("Departure", "key"),
        f" of this user from the average of {count(gate.average_users)} users: "
        f"{gate.distance:.1%} of the weight moved.\n",
        ("Entropy", "key"),
        f" of this row's mixture: {gate.row_entropy:.2f} bits, of the user's mean "
        f"{gate.user_entropy:.2f}, of the average's {gate.average_entropy:.2f}; an even one has "
        f"{math.log2(gate.experts):.2f}. Both are means over projections.",
    )
