"""Recommendations as a table, each with what the run read and mixed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import count, difference, duration, measure, stars
from reclora_cli.cli.render.layout import Fitted, heading, stack, table

if TYPE_CHECKING:
    from reclora_cli.stages.recommend import Recommendation, RecommendResult

_BESIDE = 120
"""Columns from which a reason stands beside its item; else below it."""
_REASON = 60

_NOTE = (
    "With each: the behaviours of its prompt most like it (cosine), and experts that weigh more "
    "than for the average user. This inspects the model and names no causes."
)


def render(result: RecommendResult) -> RenderableType:
    """The whole result."""
    saved = Text.assemble(("Written to ", "key"), result.saved) if result.saved else None
    return stack(
        Group(heading(_who(result), f"{result.dataset}, run {result.run}"), _how(result)),
        Fitted(lambda width: _table(result, width)),
        Text(_NOTE, "faint"),
        saved,
        Text(f"Recommended in {duration(result.seconds)}.", "faint"),
    )


def _who(result: RecommendResult) -> str:
    return "Somebody new" if result.user is None else f"User {result.user}"


def _how(result: RecommendResult) -> Text:
    chosen = "the CRM's best" if result.by == "crm" else "those most like what the user liked,"
    told = ", ".join(f"{name} {value}" for name, value in result.profile.items())
    read = f"{count(result.history)} behaviour{'' if result.history == 1 else 's'}"
    text = Text(f"{read}; profile {told or 'unknown'}.\n")
    if not result.seen_in_training:
        text.append("The CRM never saw this user in training.\n", "warn")
    text.append(f"The LLM saw {count(result.candidates)} candidates, {chosen} ")
    text.append(f"of {count(result.pool)} {result.noun}s not seen")
    left = f"; {count(result.left_out)} seen ones left out" if result.left_out else ""
    return text.append(f"{left}.")


def _table(result: RecommendResult, width: int) -> RenderableType:
    beside = width >= _BESIDE
    last = "likeness" if result.by == "similar" else "CRM"
    columns = ["rank", result.noun, "P(yes)", last, *(["rank by CRM"] if result.crm else [])]
    left = [result.noun, *(["reason"] if beside else [])]
    made = table(*columns, *(["reason"] if beside else []), left=left)
    made.columns[0].justify = "right"
    for one in result.recommendations:
        named = _named(one)
        reason = _reason(one, result.scale_top)
        shown = named if beside else Group(named, Padding(reason, (0, 0, 0, 2)))
        score = one.similarity if result.by == "similar" else one.crm_probability
        ranked = [count(one.crm_rank)] if one.crm_rank is not None else []
        cells: list[RenderableType] = [
            str(one.rank),
            shown,
            Text(measure(one.probability, 3), "strong"),
            measure(score, 3),
            *ranked,
        ]
        made.add_row(*cells, *([reason] if beside else []))
    if beside:
        made.columns[-1].max_width = _REASON
    return made


def _named(one: Recommendation) -> Text:
    return Text.assemble((one.title, "strong"), (f"  {one.genre}" if one.genre else "", "faint"))


def _reason(one: Recommendation, top: float) -> Table:
    grid = Table.grid(padding=(0, 1))
    for said in one.behaviours:
        alike = measure(said.similarity, 2) if said.similarity is not None else ""
        grid.add_row(
            Text(stars(said.rating, top), "faint"), Text(alike, "faint"), Text(said.title, "faint")
        )
    if one.experts:
        leaning = ", ".join(f"{each.expert} {difference(each.above, 3)}" for each in one.experts)
        grid.add_row(Text("experts", "faint"), "", Text(leaning, "faint"))
    return grid
