"""Bars and heat maps out of characters; plain ones where the output takes ASCII only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.style import Style
from rich.text import Text

from reclora_cli.cli.render.figures import measure

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = " ▁▂▃▄▅▆▇█"
_LEAST = 6
_ASCII_LEVELS = " .:-=+*#@"

# Viridis in nine steps: even in lightness, told apart on light and dark and without red-green.
_VIRIDIS = (
    "#440154",
    "#472d7b",
    "#3b528b",
    "#2c728e",
    "#21918c",
    "#28ae80",
    "#5ec962",
    "#addc30",
    "#fde725",
)


@dataclass(frozen=True)
class Bar:
    """``share`` (0 to 1) of ``width`` cells, or of fewer where there is less room."""

    share: float
    width: int
    style: str = "bar"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(self.width, options.max_width)
        yield Text(bar(self.share, width, ascii_only=options.ascii_only), style=self.style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(_LEAST, self.width), self.width)


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """A bar of ``width`` cells filled to ``share``, in eighths of a cell."""
    filled = min(max(share, 0.0), 1.0) * width
    if ascii_only:
        return ("#" * round(filled)).ljust(width)
    whole, eighths = int(filled), int((filled - int(filled)) * 8)
    text = "█" * whole + (_EIGHTHS[eighths] if eighths else "")
    return text.ljust(width)


@dataclass(frozen=True)
class HeatMap:
    """A matrix as cells: coloured where there is colour, else filled by height.

    Attributes:
        values: rows of equal length, each value from 0 up.
        rows: name of each row.
        cell: characters of one cell.
    """

    values: Sequence[Sequence[float]]
    rows: Sequence[str]
    cell: int = 3

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        coloured = console.color_system is not None and not console.no_color
        top = max((max(row, default=0.0) for row in self.values), default=0.0) or 1.0
        label = max(map(len, self.rows), default=0)
        columns = len(self.values[0]) if self.values else 0
        yield Text(" " * label + self._numbers(columns), style="faint")
        for name, row in zip(self.rows, self.values, strict=True):
            line = Text.assemble((f"{name.rjust(label)} ", "faint"))
            for value in row:
                line.append_text(self._cell(value / top, coloured, options.ascii_only))
            yield line
        yield self._legend(top, label, coloured, options.ascii_only)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        label = max(map(len, self.rows), default=0)
        columns = len(self.values[0]) if self.values else 0
        width = max(label + 1 + columns * self.cell, label + 24)
        return Measurement(width, width)

    def _numbers(self, columns: int) -> str:
        if self.cell < 2:
            return ""
        return " " + "".join(str(column).ljust(self.cell) for column in range(columns))

    def _cell(self, share: float, coloured: bool, ascii_only: bool) -> Text:
        level = min(round(max(share, 0.0) * 8), 8)
        if coloured:
            style = Style(bgcolor=Color.parse(_VIRIDIS[level]))
            return Text(" " * self.cell, style=style)
        mark = (_ASCII_LEVELS if ascii_only else _LEVELS)[level]
        return Text(mark * max(self.cell - 1, 1) + " " * (self.cell > 1))

    def _legend(self, top: float, label: int, coloured: bool, ascii_only: bool) -> Text:
        legend = Text.assemble((" " * label + " 0 ", "faint"))
        for level in range(9):
            legend.append_text(HeatMap((), (), cell=1)._cell(level / 8, coloured, ascii_only))
        return legend.append(f" {measure(top, 3)}", "faint")
