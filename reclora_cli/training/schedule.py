"""Learning-rate schedules as pure functions of the step, so that resuming needs no state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """Multiplier of every learning rate at a step (0-based) of ``total``."""

    def __call__(self, step: int, total: int) -> float: ...


@dataclass(frozen=True)
class Constant:
    """No change."""

    def __call__(self, step: int, total: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Linear:
    """Linear rise over ``warm_up`` of the steps, then linear fall towards zero.

    The same figures as ``transformers.get_linear_schedule_with_warmup``.
    """

    warm_up: float = 0.0

    def __call__(self, step: int, total: int) -> float:
        rising = round(self.warm_up * total)
        if step < rising:
            return step / max(1, rising)
        return max(0.0, (total - step) / max(1, total - rising))


@dataclass(frozen=True)
class Cosine:
    """Linear rise over ``warm_up`` of the steps, then half a cosine down towards zero.

    The same figures as ``transformers.get_cosine_schedule_with_warmup``.
    """

    warm_up: float = 0.0

    def __call__(self, step: int, total: int) -> float:
        rising = round(self.warm_up * total)
        if step < rising:
            return step / max(1, rising)
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


SCHEDULES: dict[str, type[Linear] | type[Cosine]] = {"linear": Linear, "cosine": Cosine}
"""By the names of ``finetune.schedule``."""
