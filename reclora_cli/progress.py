"""How the library tells what it is doing. Silent by default; the console draws it.

A stage receives a ``Progress`` and never prints. ``Progress.task`` is a context manager:

    with progress.task("encode items", total=3706, unit="items") as task:
        task.advance(64)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One piece of work under way."""

    def advance(self, amount: int = 1, **figures: float | int | str) -> None:
        """``amount`` more units are done; ``figures`` (say ``loss=0.61``) are shown beside."""
        ...


class Progress(Protocol):
    """Where a stage reports: tasks with a rate, plain lines, and warnings."""

    def task(
        self, title: str, total: int | None = None, unit: str = ""
    ) -> AbstractContextManager[Task]: ...

    def say(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...


class _SilentTask:
    def advance(self, amount: int = 1, **figures: float | int | str) -> None:
        pass


class SilentProgress:
    """Reports nothing; the default for library use and tests."""

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: str = "") -> Iterator[Task]:
        yield _SilentTask()

    def say(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        pass


class SaidOnce:
    """Reports like another, but says no line twice: for many stages of one kind in a row."""

    def __init__(self, around: Progress) -> None:
        self._around = around
        self._said: set[str] = set()
        self._warned: set[str] = set()

    def task(
        self, title: str, total: int | None = None, unit: str = ""
    ) -> AbstractContextManager[Task]:
        return self._around.task(title, total, unit)

    def say(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._around.say(message)

    def warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._around.warn(message)


class OnlyWarnings(SilentProgress):
    """Lets through another's warnings, none twice: for work that goes on and on."""

    def __init__(self, around: Progress) -> None:
        self._warned = SaidOnce(around)

    def warn(self, message: str) -> None:
        self._warned.warn(message)


SILENT: Progress = SilentProgress()


class RowsOf:
    """Progress for a scorer's inside: its rows count for the task around it."""

    def __init__(self, task: Task, around: Progress) -> None:
        self._task, self._around = task, around
        self.done = 0

    @contextmanager
    def _counting(self) -> Iterator[Task]:
        yield self

    def task(
        self, title: str, total: int | None = None, unit: str = ""
    ) -> AbstractContextManager[Task]:
        return self._counting() if unit == "rows" else SILENT.task(title)

    def advance(self, amount: int = 1, **figures: float | int | str) -> None:
        self.done += amount
        self._task.advance(amount, **figures)

    def say(self, message: str) -> None:
        self._around.say(message)

    def warn(self, message: str) -> None:
        self._around.warn(message)
