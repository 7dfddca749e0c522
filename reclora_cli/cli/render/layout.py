"""The few shapes that all views are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import duration


def heading(title: str, *details: str) -> Text:
    """A line in bold, with fainter details after it."""
    text = Text(title, style="strong")
    for detail in details:
        text.append(f"  {detail}", style="not bold dim")
    return text


def done(what: str, seconds: float, *, up_to_date: bool, dry_run: bool = False) -> Text:
    """The first line of a stage's view: what it made, and whether it had to."""
    if up_to_date:
        return heading(what, "up to date, nothing to do")
    return heading(what, "dry run: nothing is written" if dry_run else duration(seconds))


def table(*columns: str, left: Iterable[str] = ()) -> Table:
    """A table with a ruled head; columns are right-aligned but the first and ``left``."""
    lefts = {columns[0], *left}
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="strong", show_edge=False)
    for column in columns:
        made.add_column(
            column,
            justify="left" if column in lefts else "right",
            no_wrap=column not in lefts,
            overflow="fold",
        )
    return made


def pairs(entries: Mapping[str, RenderableType]) -> Table:
    """Names on the left, values on the right; for a handful of figures."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="key", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in entries.items():
        grid.add_row(name, value)
    return grid


def stack(*parts: RenderableType | None) -> Group:
    """Parts below each other, an empty line between; ``None`` is left out."""
    shown = [part for part in parts if part is not None]
    spaced: list[RenderableType] = []
    for part in shown:
        spaced += [part, Text()]
    return Group(*spaced[:-1])


def indented(part: RenderableType) -> Padding:
    return Padding(part, (0, 0, 0, 2), expand=False)


class Fitted:
    """What ``view`` makes of the columns there are."""

    def __init__(self, view: Callable[[int], RenderableType]) -> None:
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._view(options.max_width)
