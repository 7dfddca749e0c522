"""Rows as the models see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import count, stars
from reclora_cli.cli.render.layout import heading, indented, pairs, stack

if TYPE_CHECKING:
    from reclora_cli.stages.show import ShownRow, ShowResult


def render(result: ShowResult) -> RenderableType:
    """One block a row: fields, behaviours, prompt, answer."""
    return stack(
        heading(
            f"{result.dataset}, {result.split} {_span(result)}",
            f"of {count(result.of)}; {result.policy} behaviours",
        ),
        *(_row(row, result.scale_top) for row in result.rows),
    )


def _span(result: ShowResult) -> str:
    last = result.stop - 1
    return f"row {last}" if last == result.start else f"rows {result.start} to {last}"


def _row(row: ShownRow, top: float) -> RenderableType:
    return stack(
        heading(f"Row {row.row}", f"id {row.row_id}, {row.date}"),
        indented(_fields(row)),
        indented(_behaviours(row, top)) if row.behaviours else None,
        Panel(Text(row.prompt), box=box.ROUNDED, border_style="faint", title=_tokens(row)),
        _answer(row, top),
    )


def _fields(row: ShownRow) -> Table:
    unseen = set(row.unknown)
    entries: dict[str, RenderableType] = {}
    for name, value in row.fields.items():
        text = Text(value)
        if name in unseen:
            text.append('  not in training: the CRM reads "unknown"', "warn")
        entries[name] = text
    return pairs(entries)


def _behaviours(row: ShownRow, top: float) -> Table:
    grid = Table.grid(padding=(0, 2))
    for number, behaviour in enumerate(row.behaviours):
        grid.add_row(
            Text(str(number), "faint", justify="right"),
            Text(behaviour.date, "faint"),
            stars(behaviour.rating, top),
            Text(behaviour.title),
        )
    rest = row.past - len(row.behaviours)
    if rest:
        grid.add_row(
            "",
            Text("not shown", "faint"),
            "",
            Text(f"{count(rest)} more, earlier than the row", "faint"),
        )
    return grid


def _tokens(row: ShownRow) -> str:
    return "prompt" if row.prompt_tokens is None else f"prompt, {row.prompt_tokens} tokens framed"


def _answer(row: ShownRow, top: float) -> Text:
    tokens = f", {row.answer_tokens} tokens with its end" if row.answer_tokens is not None else ""
    return Text.assemble(
        ("Answer ", "key"),
        (row.answer, "good" if row.label else "warn"),
        f"  rated {stars(row.rating, top)}{tokens}",
    )
