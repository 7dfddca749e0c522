"""What a training writes down on the way: a JSON-lines log, beside which others may stand.

A log is a function of the steps: when a training goes on from a checkpoint, what was written of
later steps is dropped first, so no step stands in it twice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from reclora_cli.workspace import write_text


class StepLog(Protocol):
    """Where the loop writes each step's figures, and stages what they measure on the way."""

    def keep_until(self, step: int) -> None:
        """A training goes on after ``step`` steps (0: it starts): drop what is of later ones."""
        ...

    def write(self, *, step: int, **figures: Any) -> None:
        """Figures of one step: numbers, or groups of numbers by name (a validation pass)."""
        ...


class Log:
    """A JSON-lines log. Lines of steps after a resumed checkpoint are dropped first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep_until(self, step: int) -> None:
        """Drop the lines of later steps, and a last line that was cut short."""
        if not self.path.is_file():
            return
        kept = [
            line for line in self.path.read_text("utf-8").splitlines() if _step_of(line) <= step
        ]
        write_text(self.path, "".join(f"{line}\n" for line in kept))

    def write(self, **figures: Any) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All lines, oldest first."""
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]


class Logs:
    """Several logs as one."""

    def __init__(self, logs: Sequence[StepLog]) -> None:
        self._logs = tuple(logs)

    def keep_until(self, step: int) -> None:
        for log in self._logs:
            log.keep_until(step)

    def write(self, *, step: int, **figures: Any) -> None:
        for log in self._logs:
            log.write(step=step, **figures)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return math.inf
