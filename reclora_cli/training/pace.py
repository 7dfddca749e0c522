"""How fast steps are taken, what happens between them not counted."""

from __future__ import annotations

import time
from typing import Any

from reclora_cli.training.loop import AfterStep


class Pace:
    """Wraps what is called after each step, and times the steps between the calls.

    The clock starts with the first call, so that restoring a checkpoint and a first step that
    warms up are not counted; nor is the wrapped call (a validation pass).

    Args:
        after_step: what is called after each step.
    """

    def __init__(self, after_step: AfterStep) -> None:
        self._after_step = after_step
        self._since: float | None = None
        self._seconds = 0.0
        self._steps = 0

    def __call__(self, step: int, memory: dict[str, Any]) -> bool:
        if self._since is not None:
            self._seconds += time.perf_counter() - self._since
            self._steps += 1
        stop = self._after_step(step, memory)
        self._since = time.perf_counter()
        return stop

    @property
    def steps_per_second(self) -> float | None:
        """Of this process; ``None`` when it took fewer than two steps."""
        return self._steps / self._seconds if self._seconds > 0 else None
