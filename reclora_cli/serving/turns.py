"""Whose the next place in a forward pass is.

Every other place goes round among the requests, a question of each in turn; those between belong to
the oldest request. So a small request passes by a large one, and a large one is not held up for
ever by small ones that keep coming: once it is the oldest it has half of all places.
"""

from __future__ import annotations

from collections import deque

from reclora_cli.serving.job import Job


class Turns:
    """Requests that have questions left. Its owner sees to it that one thread at a time is here."""

    def __init__(self) -> None:
        self._round: deque[Job] = deque()
        self._oldest_first: dict[Job, None] = {}
        self._by_turn = True

    def __len__(self) -> int:
        return len(self._round)

    def jobs(self) -> list[Job]:
        """The oldest first."""
        return list(self._oldest_first)

    def add(self, job: Job) -> None:
        """A new request."""
        self._round.append(job)
        self._oldest_first[job] = None

    def next(self) -> Job | None:
        """Whose the next place is; the same until one takes a place or leaves."""
        if not self._round:
            return None
        return self._round[0] if self._by_turn else next(iter(self._oldest_first))

    def took_place(self, job: Job) -> None:
        """``job``, whose the place was, has sent a question."""
        if not job.left:
            self.leave(job)
        elif self._by_turn:
            self._round.rotate(-1)
        self._by_turn = not self._by_turn

    def leave(self, job: Job) -> None:
        """``job`` sends no more."""
        self._round.remove(job)
        del self._oldest_first[job]
