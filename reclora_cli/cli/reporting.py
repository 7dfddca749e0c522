"""``progress.Progress`` as the console draws it: bars, plain lines, or nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
)
from rich.progress import Task as RichTask
from rich.table import Column
from rich.text import Text

from reclora_cli.cli.render.figures import count, duration, rate

if TYPE_CHECKING:
    from reclora_cli.cli.console import Console

LINE_EVERY = 15.0
"""Seconds between two plain lines of one task."""

SPEED_OVER = 180.0
"""Seconds over which a bar's rate is taken: a step of fine-tuning may take 20."""

WORTH_TELLING = 2.0
"""A finished task is told of when it took at least this many seconds."""


class _Count(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        unit = task.fields["unit"]
        total = f"/{count(int(task.total))}" if task.total is not None else ""
        return Text(f"{count(int(task.completed))}{total} {unit}".rstrip(), style="faint")


class _Speed(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        left = task.time_remaining
        parts = [rate(speed, task.fields["unit"])] if speed else []
        parts += [f"{duration(left)} left"] if left is not None and not task.finished else []
        return Text(", ".join(parts), style="faint")


class _BarTask:
    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, amount: int = 1, **figures: float | int | str) -> None:
        if figures:
            self._bars.update(self._task, figures=_figures(figures))
        self._bars.advance(self._task, amount)


class BarProgress:
    """Bars with rate and time left on a terminal; they vanish when done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open = 0
        self._bars = Progress(
            SpinnerColumn(style="key"),
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=16),
            _Count(table_column=Column(no_wrap=True)),
            _Speed(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[figures]}", style="strong"),
            console=console.err,
            transient=True,
            speed_estimate_period=SPEED_OVER,
        )

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: str = "") -> Iterator[_BarTask]:
        started = time.perf_counter()
        if self._open == 0:
            self._bars.start()
        self._open += 1
        bar = self._bars.add_task(title, total=total, unit=unit, figures="")
        try:
            yield _BarTask(self._bars, bar)
            done = int(self._bars.tasks[self._bars.task_ids.index(bar)].completed)
            _tell_end(self._console, title, done, unit, time.perf_counter() - started)
        finally:
            self._bars.remove_task(bar)
            self._open -= 1
            if self._open == 0:
                self._bars.stop()

    def say(self, message: str) -> None:
        self._console.say(message)

    def warn(self, message: str) -> None:
        self._console.warn(message)


class _LineTask:
    """Tells rate and time left from the first advance on: a resumed task begins with a leap."""

    def __init__(self, console: Console, title: str, total: int | None, unit: str) -> None:
        self._console = console
        self._title = title
        self._total = total
        self._unit = unit
        self._told = time.perf_counter()
        self._first: tuple[float, int] | None = None
        self.done = 0

    def advance(self, amount: int = 1, **figures: float | int | str) -> None:
        self.done += amount
        now = time.perf_counter()
        if self._first is None:
            self._first = (now, self.done)
        if now - self._told >= LINE_EVERY:
            self._told = now
            self._console.say(self._line(self._speed(now), figures))

    def _speed(self, now: float) -> float:
        assert self._first is not None
        since, before = self._first
        return (self.done - before) / (now - since) if now > since else 0.0

    def _line(self, speed: float, figures: dict[str, float | int | str]) -> str:
        total = f"/{count(self._total)}" if self._total is not None else ""
        parts = [f"{count(self.done)}{total} {self._unit}".rstrip()]
        if speed > 0:
            parts.append(rate(speed, self._unit))
            if self._total is not None:
                parts.append(f"{duration((self._total - self.done) / speed)} left")
        if figures:
            parts.append(_figures(figures))
        return f"{self._title}: {', '.join(parts)}"


class LineProgress:
    """A plain line now and then: for log files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: str = "") -> Iterator[_LineTask]:
        started = time.perf_counter()
        task = _LineTask(self._console, title, total, unit)
        yield task
        _tell_end(self._console, title, task.done, unit, time.perf_counter() - started)

    def say(self, message: str) -> None:
        self._console.say(message)

    def warn(self, message: str) -> None:
        self._console.warn(message)


class _NoTask:
    def advance(self, amount: int = 1, **figures: float | int | str) -> None:
        pass


class QuietProgress:
    """Warnings only."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: str = "") -> Iterator[_NoTask]:
        yield _NoTask()

    def say(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        self._console.warn(message)


def _tell_end(console: Console, title: str, done: int, unit: str, seconds: float) -> None:
    if seconds >= WORTH_TELLING:
        amount = f"{count(done)} {unit}".rstrip() + " in " if done else ""
        console.say(f"{title}: {amount}{duration(seconds)}")


def _figures(figures: dict[str, float | int | str]) -> str:
    return " ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in figures.items()
    )
