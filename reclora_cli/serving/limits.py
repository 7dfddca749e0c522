"""How much one request may ask, how many may wait, and how a request is turned away."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reclora_cli.errors import RecloraError, UsageError

PAIRS = 100
"""Pairs, or items of somebody new, of one request for scores."""
CANDIDATES = 100
"""Items that the LLM is asked about for one recommendation."""
NAMED_ITEMS = 10_000
"""Items that a recommendation may be told to choose among."""
HISTORY = 1000
"""Behaviours of somebody new."""
GENRES, PROFILE = 50, 50
TEXT = 500
"""Characters of an id, a title, a genre or a value of a profile."""
BODY_BYTES = 1 << 20

LEAST_QUEUE = max(PAIRS, CANDIDATES)


@dataclass(frozen=True)
class Limits:
    """What the person who starts it decides.

    Attributes:
        queue: questions that may wait, at least ``LEAST_QUEUE``.
        timeout_s: within which a request is answered or turned away.
        wait_s: that a first question waits for others to share its forward pass; less than
            ``timeout_s``.
        grace_s: that requests under way may take when it is told to stop.

    Raises:
        UsageError: one is no length of time, or the wait outlasts the time of a request.
    """

    queue: int = 256
    timeout_s: float = 60.0
    wait_s: float = 0.005
    grace_s: float = 30.0

    def __post_init__(self) -> None:
        assert self.queue >= LEAST_QUEUE, "a request of the largest size must fit"
        for name in ("timeout_s", "wait_s", "grace_s"):
            if not 0 <= getattr(self, name) < math.inf:  # Nor is nan.
                raise UsageError(f"{getattr(self, name)} s is no length of time", where=name)
        if self.wait_s >= self.timeout_s:
            raise UsageError(
                f"a first question would wait {self.wait_s:g} s for others, and a request may "
                f"take {self.timeout_s:g} s: none would be answered",
                where="wait_s and timeout_s",
                hint="Make --wait shorter, or --timeout longer.",
            )


class Failed(RecloraError):
    """The models could not answer, by no fault of the request."""


class Busy(RecloraError):
    """It cannot be answered now; the same request may be sent again.

    Attributes:
        retry_after_s: when it may find room, by the pace of the last forward passes.
    """

    def __init__(self, what: str, *, where: str, retry_after_s: float) -> None:
        self.retry_after_s = max(1, math.ceil(retry_after_s))
        super().__init__(what, where=where, hint=f"Ask again in {self.retry_after_s} s.")
