"""What an audit proved, part by part, and what same-second ties there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import count, duration
from reclora_cli.cli.render.layout import heading, indented, stack, table

if TYPE_CHECKING:
    from reclora_cli.stages.audit import AuditedPart, AuditResult


def render(result: AuditResult) -> RenderableType:
    """The store's checks one by one; of every other part those that do not hold."""
    return stack(
        heading(f"Leak audit of {result.dataset}", duration(result.seconds)),
        *(indented(_part(part)) for part in result.parts),
        indented(_stale(result)) if result.stale else None,
        indented(_ties(result)) if result.ties and result.timed else None,
        _verdict(result),
    )


def _part(part: AuditedPart) -> RenderableType:
    held = sum(check.held for check in part.checks)
    values = sum(check.checked for check in part.checks)
    title = Text.assemble(
        (part.name if part.kind == part.name else f"{part.kind} {part.name}", "strong"),
        f"  {held} of {len(part.checks)} checks hold over {count(values)} values",
    )
    shown = [check for check in part.checks if part.kind == "store" or not check.held]
    if not shown:
        return title
    checks = Table.grid(padding=(0, 1))
    for check in shown:
        mark = Text("holds", "good") if check.held else Text("broken", "error")
        checks.add_row(mark, f"{check.name}{': ' if check.detail else ''}{check.detail}")
    return stack(title, indented(checks))


def _stale(result: AuditResult) -> RenderableType:
    lines = [f"{one.kind} {one.name}: {one.why}" for one in result.stale]
    return Text("Not looked at:\n" + "\n".join(lines), "faint")


def _ties(result: AuditResult) -> RenderableType:
    made = table("split", "rows", "with ties", "behaviours lost", "mean past", "without")
    for one in result.ties:
        made.add_row(
            one.split,
            count(one.rows),
            f"{count(one.tied)} ({one.tied / one.rows:.1%})",
            count(one.lost),
            f"{one.mean_history:,.1f}",
            f"{one.mean_without:,.1f}",
        )
    told = (
        "Rows before which their user has another behaviour of the same second, and what "
        f"data.ties=exclude takes from histories (here it is {result.tie_setting}):"
    )
    return stack(Text(told), made)


def _verdict(result: AuditResult) -> Text:
    broken = sum(not check.held for part in result.parts for check in part.checks)
    if broken:
        told = "One check does" if broken == 1 else f"{broken} checks do"
        return Text(f"{told} not hold.", "error")
    return Text("Every check holds.", "good")
