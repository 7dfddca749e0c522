"""One thread that owns the models puts the questions of all who wait through shared forward passes.

How places are shared out is said in ``turns``. A question that went into a pass cannot be called
back; all others of a request that ran out of time, or that nobody waits for any more, are dropped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.scoring.lm_scorer import Answered
from reclora_cli.serving.counters import Counters
from reclora_cli.serving.job import Asked, Job
from reclora_cli.serving.limits import Busy, Failed, Limits
from reclora_cli.serving.model import ServedModel
from reclora_cli.serving.turns import Turns
from reclora_cli.stages.opened_run import Prompts

_LATER = 1.5
"""What a request may wait for, in what waits before it: others that come later take places too."""

Batch = dict[Job, list[int]]
"""Requests, and the numbers of their questions in one forward pass."""


class Batcher:
    """Takes requests from any thread; its own answers them.

    Args:
        clock: seconds, never going back.
    """

    def __init__(
        self,
        model: ServedModel,
        limits: Limits,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._limits, self._counters = model, limits, counters
        self._clock = clock
        self._turns = Turns()
        self._open: set[Job] = set()
        self._running, self._since = 0, clock()
        self._refusing = self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="reclora batcher", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def require_open(self) -> None:
        """Raise what a request would meet now, were there room.

        Raises:
            Busy: this is stopping.
        """
        if self._refusing:
            raise self._stopping()

    @property
    def waiting(self) -> int:
        """Questions in the queue."""
        with self._changed:
            return sum(job.left for job in self._waiting_jobs())

    @property
    def open_requests(self) -> int:
        """Requests that have no answer yet."""
        return len(self._open)

    def submit(self, asked: Asked) -> Job:
        """Queue a request.

        Raises:
            UsageError: it asks nothing.
            Busy: the queue is full, or the request would run out of time in it at the pace of the
                last forward passes, or this is stopping.
        """
        if not asked.most:
            raise UsageError("a request asks at least one question", where=type(asked).__name__)
        with self._changed:
            self._require_room(asked.most)
            job = Job(asked, self._clock() + self._limits.timeout_s)
            self._turns.add(job)
            self._open.add(job)
            self._changed.notify_all()
        return job

    def drop(self, job: Job, error: BaseException) -> bool:
        """End a request with ``error``; whether it was still open."""
        return self._end(job, lambda: job.future.set_exception(error))

    def late(self, job: Job) -> None:
        """End a request that ran out of time."""
        busy = Busy(
            f"not answered within {self._limits.timeout_s:g} s",
            where="timeout",
            retry_after_s=self._seconds_for(self.waiting),
        )
        if self.drop(job, busy):
            self._counters.turned_away("timeout")

    def refuse_new(self) -> None:
        """Take no more requests; those that are here are still answered."""
        with self._changed:
            self._refusing = True

    def wait_until_idle(self, seconds: float) -> bool:
        """Whether all requests are answered before so long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, timeout=seconds)

    def cut(self) -> int:
        """End all requests that are here; how many."""
        return self._end_all(self._stopping())

    def close(self) -> int:
        """End the thread after its forward pass; how many requests it leaves unanswered."""
        self.refuse_new()
        cut = self.cut()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        return cut

    # -- whether there is room ------------------------------------------------------------------

    def _require_room(self, questions: int) -> None:
        if self._refusing:
            self._counters.turned_away("stopping")
        self.require_open()
        waiting = sum(job.left for job in self._waiting_jobs())
        over = waiting + questions - self._limits.queue
        if over > 0:
            self._counters.turned_away("full")
            raise Busy(
                f"the queue is full: {waiting} questions wait, of {self._limits.queue} at most",
                where="queue",
                retry_after_s=self._seconds_for(over),
            )
        # With nothing before it a request is always taken, so that a pace that was measured in a
        # bad moment is measured again.
        needed = _LATER * self._seconds_for(self._before(questions)) if self._open else 0.0
        if needed > self._limits.timeout_s:
            self._counters.turned_away("slow")
            raise Busy(
                f"with what waits it would take some {needed:.0f} s, more than the "
                f"{self._limits.timeout_s:g} s a request may take",
                where="timeout",
                retry_after_s=needed - self._limits.timeout_s,
            )

    def _before(self, questions: int) -> int:
        """Questions until the last of a new request's, were it the last request to come."""
        here = self._waiting_jobs()
        in_turn = questions * (len(here) + 1)
        return self._running + min(in_turn, sum(job.left for job in here) + questions)

    def _seconds_for(self, questions: int) -> float:
        pace = self._counters.seconds_a_question
        return questions * (self._model.seconds_a_question if pace is None else pace)

    def _waiting_jobs(self) -> list[Job]:
        return [job for job in self._turns.jobs() if job in self._open]

    def _stopping(self) -> Busy:
        return Busy("the server is stopping", where="server", retry_after_s=self._limits.grace_s)

    # -- the thread -----------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._answer_until_closed()
        except BaseException as error:  # Nobody may wait for a thread that is no more.
            self.refuse_new()
            self._end_all(error)
            raise

    def _answer_until_closed(self) -> None:
        while True:
            with self._changed:
                idle = not self._turns
                self._changed.wait_for(lambda: self._turns or self._closing)
                if idle:
                    self._changed.wait_for(lambda: self._closing, timeout=self._limits.wait_s)
                if self._closing:
                    return
            if idle:
                self._since = self._clock()
            self._pass()

    def _pass(self) -> None:
        """One forward pass, and the results of the requests that it completes."""
        batch = self._next_batch()
        if not batch:
            return
        self._running = sum(len(chosen) for chosen in batch.values())
        try:
            mixed = Prompts.together([(_prompts(job), chosen) for job, chosen in batch.items()])
            answered = self._model.answer(mixed)
            self._count(batch, mixed)
            self._share_out(batch, answered)
        except Exception as error:  # Told to who asked; the thread goes on.
            for job in batch:
                self.drop(job, _no_fault_of_the_request(error))
        self._running = 0

    def _count(self, batch: Batch, mixed: Prompts) -> None:
        """With the time since the last count: results of that pass are part of it."""
        now = self._clock()
        tokens = int(mixed.encoded.lengths.sum())
        self._counters.forward(len(mixed), tokens, len(batch), now - self._since)
        self._since = now

    def _next_batch(self) -> Batch:
        """As many questions as ``batch_tokens`` hold; at least one."""
        batch: Batch = {}
        rows = longest = 0
        while (job := self._first()) is not None:
            longest = max(longest, job.next_length)
            if rows and (rows + 1) * longest > self._model.batch_tokens:
                break
            rows += 1
            batch.setdefault(job, []).append(job.send_next())
            with self._changed:
                self._turns.took_place(job)
        return batch

    def _first(self) -> Job | None:
        """Whose the next place is, with its prompts read; requests that are over are dropped."""
        while True:
            with self._changed:
                job = self._turns.next()
            if job is None or (self._is_open(job) and self._read(job)):
                return job
            with self._changed:
                self._turns.leave(job)

    def _is_open(self, job: Job) -> bool:
        if self._clock() > job.deadline:
            self.late(job)
        return job in self._open

    def _read(self, job: Job) -> bool:
        """Whether the request's questions could be read; if not, it is told why."""
        if job.prompts is None:
            try:
                job.prompts = job.asked.prompts(self._model)
                assert len(job.prompts), "a request asks at least one question"
            except UsageError as error:
                self.drop(job, error)
                return False
            except Exception as error:
                self.drop(job, _no_fault_of_the_request(error))
                return False
        return True

    def _share_out(self, batch: Batch, answered: Answered) -> None:
        at = 0
        for job, chosen in batch.items():
            part = slice(at, at + len(chosen))
            at = part.stop
            gates = None if answered.gate_weights is None else answered.gate_weights[part]
            whole = job.take(Answered(answered.probability[part], gates))
            if whole is not None and job in self._open:
                self._finish(job, whole)

    def _finish(self, job: Job, whole: Answered) -> None:
        try:
            result = job.asked.result(self._model, whole)
        except Exception as error:
            self.drop(job, _no_fault_of_the_request(error))
            return
        self._end(job, lambda: job.future.set_result(result))

    def _end_all(self, error: BaseException) -> int:
        with self._changed:
            here = list(self._open)
        return sum(self.drop(job, error) for job in here)

    def _end(self, job: Job, settle: Callable[[], None]) -> bool:
        with self._changed:
            if job not in self._open:
                return False
            self._open.discard(job)
            self._changed.notify_all()
        settle()
        return True


def _no_fault_of_the_request(error: Exception) -> Exception:
    if isinstance(error, RecloraError):
        return Failed(error.what, where=error.where, hint=error.hint)
    return error


def _prompts(job: Job) -> Prompts:
    assert job.prompts is not None
    return job.prompts
