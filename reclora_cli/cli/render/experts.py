"""Every expert of a run, and what is over-represented where its weight is high."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import count, difference, duration, measure, p_value
from reclora_cli.cli.render.layout import heading, indented, stack, table

if TYPE_CHECKING:
    from reclora_cli.stages.explaining.experts import ExpertsResult
    from reclora_cli.stages.explaining.portraits import Portrait, Trait

SHOWN = 4
"""Traits of an expert that are shown; ``--json`` has all that stand out."""


def render(result: ExpertsResult) -> RenderableType:
    """The whole result, of each expert the largest effects."""
    drawn = Text.assemble(("Drawn into ", "key"), result.plot) if result.plot else None
    return stack(
        heading(f"{len(result.experts)} experts", f"{result.dataset}, run {result.run}"),
        Text(_how(result)),
        _together(result),
        *(_expert(one) for one in result.experts),
        Text(_note(result), "faint"),
        drawn,
        Text(f"Described in {duration(result.seconds)}.", "faint"),
    )


def _how(result: ExpertsResult) -> str:
    return (
        f"{count(result.rows)} training rows of {count(result.users)} users, drawn at random. "
        f"An expert's weight is its mean over {count(result.projections)} projections. Its top "
        "quarter of rows is compared with the rest."
    )


def _together(result: ExpertsResult) -> Text | None:
    said = "; ".join(ranges(group) for group in groups_of(result.experts) if len(group) > 1)
    if not said:
        return None
    return Text(f"Weights that rise and fall together (r at least .9): experts {said}.")


def groups_of(experts: Sequence[Portrait]) -> list[tuple[int, ...]]:
    """Every expert in one group, the first all of whose members move with it, else a new one."""
    groups: list[list[int]] = []
    for one in experts:
        fits = (group for group in groups if set(group) <= set(one.moves_with))
        if (found := next(fits, None)) is None:
            groups.append([one.expert])
        else:
            found.append(one.expert)
    return [tuple(group) for group in groups]


def ranges(numbers: tuple[int, ...]) -> str:
    """``0-3, 7``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{one[0]}" if len(one) == 1 else f"{one[0]}-{one[-1]}" for one in parts)


def _expert(one: Portrait) -> RenderableType:
    title = heading(f"Expert {one.expert}", f"weight {measure(one.mean, 3)} ± {measure(one.sd, 3)}")
    if not one.top_rows:
        return Group(title, indented(Text("Its weight is the same for all rows.", "faint")))
    if not one.stands_out:
        return Group(title, indented(Text("Nothing stands out.", "faint")))
    return Group(title, indented(_table(one)))


def _table(one: Portrait) -> Table:
    made = table("where it is high", "top", "rest", "effect", "95% interval", "q")
    made.columns[0].overflow = "fold"
    made.columns[0].no_wrap = False
    for trait in one.stands_out[:SHOWN]:
        made.add_row(
            named(trait),
            value_of(trait, trait.top),
            value_of(trait, trait.rest),
            _effect(trait),
            _interval(trait),
            p_value(trait.q),
        )
    return made


def named(trait: Trait) -> str:
    """The trait in words."""
    return trait.about if trait.value is None else f"{trait.about} {trait.value}"


def value_of(trait: Trait, value: float) -> str:
    """A share, or a median."""
    if trait.value is not None:
        return f"{value:.1%}"
    return measure(value, 3) if abs(value) < 1 else f"{value:.0f}"


def _effect(trait: Trait) -> Text:
    name = "h" if trait.measure == "cohen_h" else "d"
    return Text(
        f"{name} {difference(trait.effect, 2)}", "bar.over" if trait.effect > 0 else "bar.under"
    )


def _interval(trait: Trait) -> str:
    """Of the difference of shares in percent, which cannot be taken for one of h; or of d."""
    if trait.value is not None:
        return f"[{trait.low:+.0%}, {trait.high:+.0%}]"
    return f"[{difference(trait.low, 2)}, {difference(trait.high, 2)}]"


def _note(result: ExpertsResult) -> str:
    noise = (
        " This run's gate reads noise: what stands out here is chance."
        if result.gate_input in {"random", "shuffled"}
        else ""
    )
    return (
        "top, rest: shares of rows, or medians. h: Cohen's h of the shares, beside it the "
        "interval of top less rest; d: Cliff's delta and its interval. Intervals resample users "
        f"{count(result.resamples)} times; p-values come from dealing users' weights to others "
        f"as often; q: those of all {count(result.comparisons)} comparisons, adjusted (Benjamini-"
        "Hochberg), and only q up to .05 is told. These are associations over training rows, which "
        f"the CRM has learnt from: an expert has no meaning that anybody gave it.{noise}"
    )
