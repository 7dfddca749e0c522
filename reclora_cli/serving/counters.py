"""What was asked so far, how it ended, and how quickly."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

_REMEMBERED = 2000
_PASSES = 16


@dataclass(frozen=True)
class Latency:
    """Seconds of the last 2,000 answered requests of a kind."""

    n: int
    p50: float
    p95: float


@dataclass(frozen=True)
class Batches:
    """Forward passes.

    Attributes:
        questions: that went through them; ``tokens`` of their prompts, without padding.
        mean_size: questions of one.
        sizes: size -> how many were so large.
        mixed: those that held questions of more than one request.
        questions_per_second: of the last 16.
    """

    n: int
    questions: int
    tokens: int
    mean_size: float
    largest: int
    sizes: dict[int, int]
    mixed: int
    questions_per_second: float | None


@dataclass(frozen=True)
class Counts:
    """All counters at one moment.

    Attributes:
        requests: path -> status -> how many.
        turned_away: reason (``full``, ``slow``, ``timeout``, ``stopping``) -> how many 503s.
        hung_up: requests whose client went before the answer.
        waiting: questions in the queue now.
        latency: path -> of requests answered with 200.
    """

    seconds_up: float
    requests: dict[str, dict[int, int]]
    turned_away: dict[str, int]
    hung_up: int
    waiting: int
    batches: Batches
    latency: dict[str, Latency]


@dataclass
class Counters:
    """Counts from any thread."""

    _requests: dict[str, Counter[int]] = field(default_factory=dict)
    _away: Counter[str] = field(default_factory=Counter)
    _seconds: dict[str, deque[float]] = field(default_factory=dict)
    _sizes: Counter[int] = field(default_factory=Counter)
    _paces: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_PASSES))
    _tokens: int = 0
    _mixed: int = 0
    _hung_up: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        with self._lock:
            self._requests.setdefault(path, Counter())[status] += 1
            if status == 200:
                self._seconds.setdefault(path, deque(maxlen=_REMEMBERED)).append(seconds)

    def turned_away(self, reason: str) -> None:
        """A request was answered with 503."""
        with self._lock:
            self._away[reason] += 1

    def hung_up(self) -> None:
        """A client went before its answer."""
        with self._lock:
            self._hung_up += 1

    def forward(self, questions: int, tokens: int, requests: int, seconds: float) -> None:
        """One forward pass, with reading what it asks and telling its answers."""
        with self._lock:
            self._sizes[questions] += 1
            self._tokens += tokens
            self._mixed += requests > 1
            self._paces.append((questions, seconds))

    @property
    def seconds_a_question(self) -> float | None:
        """By the last forward passes."""
        with self._lock:
            questions = sum(n for n, _ in self._paces)
            return sum(took for _, took in self._paces) / questions if questions else None

    def counts(self, seconds_up: float, waiting: int) -> Counts:
        """As they stand."""
        pace = self.seconds_a_question
        with self._lock:
            n, questions = self._sizes.total(), sum(k * v for k, v in self._sizes.items())
            batches = Batches(
                n=n,
                questions=questions,
                tokens=self._tokens,
                mean_size=round(questions / n, 3) if n else 0.0,
                largest=max(self._sizes, default=0),
                sizes=dict(sorted(self._sizes.items())),
                mixed=self._mixed,
                questions_per_second=round(1 / pace, 3) if pace else None,
            )
            return Counts(
                seconds_up=round(seconds_up, 3),
                requests={path: dict(found) for path, found in sorted(self._requests.items())},
                turned_away=dict(self._away),
                hung_up=self._hung_up,
                waiting=waiting,
                batches=batches,
                latency={path: _latency(found) for path, found in sorted(self._seconds.items())},
            )


def _latency(seconds: deque[float]) -> Latency:
    p50, p95 = (round(float(x), 4) for x in np.percentile(list(seconds), [50, 95]))
    return Latency(len(seconds), p50, p95)
