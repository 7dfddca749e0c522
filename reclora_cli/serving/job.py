"""A request's questions on their way through the queue and the LM."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Protocol

import numpy as np

from reclora_cli.scoring.lm_scorer import Answered
from reclora_cli.serving.model import ServedModel
from reclora_cli.stages.opened_run import Prompts


class Asked(Protocol):
    """What one request asks. Its methods are called by the thread that owns the models."""

    @property
    def most(self) -> int:
        """Questions that it has at most: the room it takes in the queue."""
        ...

    def prompts(self, model: ServedModel) -> Prompts:
        """Its questions, read and tokenised; at least one."""
        ...

    def result(self, model: ServedModel, answered: Answered) -> Any:
        """What the answers, in the order of the prompts, come to."""
        ...


class Job:
    """One request under way.

    Attributes:
        future: its result. It cannot be cancelled: ``Batcher.drop`` takes a request back.
        deadline: by the batcher's clock.
    """

    def __init__(self, asked: Asked, deadline: float) -> None:
        self.asked = asked
        self.deadline = deadline
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()  # What is cancelled takes no result.
        self.prompts: Prompts | None = None
        self._sent = 0
        self._parts: list[Answered] = []

    @property
    def left(self) -> int:
        """Questions that have not gone into a forward pass."""
        return (self.asked.most if self.prompts is None else len(self.prompts)) - self._sent

    @property
    def next_length(self) -> int:
        """Tokens of the next question's prompt."""
        assert self.prompts is not None
        return int(self.prompts.encoded.lengths[self._sent])

    def send_next(self) -> int:
        """Number of the next question, which goes into a forward pass."""
        self._sent += 1
        return self._sent - 1

    def take(self, answered: Answered) -> Answered | None:
        """Add answers to questions in the order they were sent; all of them once they are whole."""
        self._parts.append(answered)
        assert self.prompts is not None
        if sum(len(part.probability) for part in self._parts) < len(self.prompts):
            return None
        gates = [part.gate_weights for part in self._parts if part.gate_weights is not None]
        return Answered(
            np.concatenate([part.probability for part in self._parts]),
            np.concatenate(gates) if gates else None,
        )
