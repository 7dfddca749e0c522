"""P(yes) with one thing changed at a time, by kind of change, the largest difference first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import count, difference, duration, measure
from reclora_cli.cli.render.layout import Fitted, heading, indented, pairs, stack, table
from reclora_cli.cli.render.marks import Bar

if TYPE_CHECKING:
    from reclora_cli.stages.explaining.changes import Change
    from reclora_cli.stages.explaining.what_if import WhatIfResult

KINDS = {
    "expert": ("Without an expert", "its weight 0, the others share it"),
    "prompt": ("Without a behaviour in the prompt", "the CRM reads it still"),
    "crm": ("Without a behaviour that the CRM reads", "the prompt is as it is"),
    "history": ("With another user's history for the CRM", "the prompt is as it is"),
    "profile": ("With another profile", "told to prompt and CRM"),
}
"""Kind -> its heading, and what it means."""

_ROOMY = 100
_BAR, _SHORT_BAR = 24, 10
_ROUNDING = (
    "The LM computes in {precision}: differences of a hundredth or less may be rounding "
    "(docs/explaining.md)."
)
_EXACT = "The LM computes in float32 here; the run's own {precision} rounds P(yes) otherwise."
_NOTE = (
    "Each line is the model asked again, with one thing changed. It tells what the model computes, "
    "not what would change the user's mind."
)


def render(result: WhatIfResult) -> RenderableType:
    """The whole result; of the CRM's behaviours those that the LM was asked about."""
    largest = max((abs(one.difference or 0.0) for one in result.changes), default=0.0)
    drawn = Text.assemble(("Drawn into ", "key"), result.plot) if result.plot else None
    shown = [
        _kind(result, kind, largest)
        for kind in KINDS
        if any(one.kind == kind and one.difference is not None for one in result.changes)
    ]
    return stack(
        heading(f"User {result.user}, what if", f"{result.dataset}, run {result.run}"),
        indented(_facts(result)),
        *shown,
        Text("\n".join(_ends(result)), "faint"),
        drawn,
        Text(f"Asked in {duration(result.seconds)}.", "faint"),
    )


def _facts(result: WhatIfResult) -> Table:
    facts: dict[str, RenderableType] = {
        "target": Text(result.target.title, "strong"),
        "P(yes)": Text(f"{measure(result.probability, 3)} as it is", "strong"),
    }
    if result.crm_probability is not None:
        facts["CRM says"] = measure(result.crm_probability, 3)
    return pairs(facts)


def _kind(result: WhatIfResult, kind: str, largest: float) -> RenderableType:
    changes = [one for one in result.changes if one.kind == kind and one.difference is not None]
    title, meaning = KINDS[kind]
    details = [meaning] if result.crm_probability is not None or kind == "expert" else []
    return Group(
        heading(title, *details), indented(Fitted(lambda width: _table(changes, largest, width)))
    )


def _table(changes: list[Change], largest: float, width: int) -> Table:
    crm = any(one.crm_difference is not None for one in changes)
    gate = any(one.gate_moved for one in changes)
    columns = ["change", "P(yes)", "difference", "", *["CRM"] * crm, *["gate moved"] * gate]
    made = table(*columns, left=("change", ""))
    for one in changes:
        cells: list[RenderableType] = [
            one.what,
            measure(one.probability, 3),
            _signed(one.difference),
            Bar(
                abs(one.difference or 0.0) / (largest or 1.0),
                _BAR if width >= _ROOMY else _SHORT_BAR,
                "bar.over" if (one.difference or 0.0) > 0 else "bar.under",
            ),
        ]
        cells += [_signed(one.crm_difference)] * crm
        cells += [f"{one.gate_moved or 0.0:.1%}"] * gate
        made.add_row(*cells)
    return made


def _signed(value: float | None) -> Text:
    if value is None:
        return Text("–")
    style = "" if round(value, 3) == 0 else "bar.over" if value > 0 else "bar.under"
    return Text("0" if value == 0 else difference(value, 3), style)


def _ends(result: WhatIfResult) -> list[str]:
    asked = f"The LM was asked {count(result.asked)} prompts, at most {count(result.questions)}"
    said = [f"{asked} and the one as it is."]
    if result.not_asked:
        said[0] += f" {count(result.not_asked)} changes were left: --questions asks for more"
        crm = ", --json has what the CRM and the gate say of them"
        said[0] += f"{crm if result.crm_probability is not None else ''}."
    said += result.not_applicable
    if result.precision != "float32":
        said.append(_ROUNDING.format(precision=result.precision))
    elif result.run_precision != result.precision:
        said.append(_EXACT.format(precision=result.run_precision))
    return [*said, _NOTE]
