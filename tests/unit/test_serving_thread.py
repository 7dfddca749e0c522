"""The thread that owns the models outlives what is asked of it; if it ends, nobody waits for it."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from reclora_cli.errors import UsageError
from reclora_cli.serving.batcher import Batcher
from reclora_cli.serving.counters import Counters
from reclora_cli.serving.limits import Busy, Limits
from reclora_cli.serving.model import ServedModel
from reclora_cli.serving.score import AskedScores
from reclora_cli.serving.turns import Turns
from reclora_cli.stages.opened_run import Prompts
from tests.served import SOMEBODY, batching, model, pairs, recommendation, scores

__all__ = ["model"]


def test_a_future_that_somebody_cancels_is_answered_all_the_same(model: ServedModel) -> None:
    """As ``asyncio.wait_for`` does, of who asks without HTTP."""
    with batching(model) as (batcher, _):
        cancelled, other = (batcher.submit(scores(model, seed)) for seed in (0, 1))
        assert not cancelled.future.cancel()
        batcher.start()
        assert other.future.result(timeout=60).scores
        assert cancelled.future.result(timeout=60).scores


def test_a_cancelled_request_that_is_late_holds_nobody_up(model: ServedModel) -> None:
    now = [0.0]
    batcher = Batcher(model, Limits(timeout_s=5), Counters(), clock=lambda: now[0])
    batcher.submit(scores(model, 0)).future.cancel()
    now[0] = 6.0
    fresh = batcher.submit(scores(model, 1))
    batcher.start()
    try:
        assert fresh.future.result(timeout=60).scores
    finally:
        batcher.close()


def test_a_request_that_asks_nothing_is_refused(model: ServedModel) -> None:
    with batching(model) as (batcher, _):
        batcher.start()
        for nothing in (
            AskedScores.known(model, []),
            AskedScores.new(model, SOMEBODY, []),
            recommendation(model, top=0, candidates=0),
        ):
            with pytest.raises(UsageError, match="at least one question"):
                batcher.submit(nothing)
        assert batcher.submit(scores(model, 1)).future.result(timeout=60).scores


class Empty:
    """A request that says it has a question and has none."""

    most = 1

    def prompts(self, model: ServedModel) -> Prompts:
        return AskedScores.known(model, pairs(0)[:0]).prompts(model)

    def result(self, model: ServedModel, answered: Any) -> Any:
        raise AssertionError("nothing was asked")


def test_a_request_whose_prompts_are_none_fails_alone(model: ServedModel) -> None:
    with batching(model) as (batcher, _):
        empty, whole = batcher.submit(Empty()), batcher.submit(scores(model, 1))
        batcher.start()
        assert whole.future.result(timeout=60).scores
        with pytest.raises(AssertionError, match="at least one question"):
            empty.future.result(timeout=60)


@pytest.fixture
def died(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException]]:
    """Errors that threads ended with."""
    found: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: found.append(told.exc_type))
    return found


def test_should_the_thread_end_who_waits_is_told_and_no_one_is_taken_any_more(
    model: ServedModel, monkeypatch: pytest.MonkeyPatch, died: list[type[BaseException]]
) -> None:
    def broken(self: Turns) -> None:
        raise ZeroDivisionError

    with batching(model) as (batcher, _):
        waits = batcher.submit(scores(model, 0))
        monkeypatch.setattr(Turns, "next", broken)
        batcher.start()
        with pytest.raises(ZeroDivisionError):
            waits.future.result(timeout=60)
        with pytest.raises(Busy):
            batcher.submit(scores(model, 1))
    assert died == [ZeroDivisionError]


@pytest.mark.parametrize(
    ("limits", "where"),
    [
        ({"timeout_s": math.nan}, "timeout_s"),
        ({"wait_s": math.nan}, "wait_s"),
        ({"grace_s": math.inf}, "grace_s"),
        ({"wait_s": -1.0}, "wait_s"),
        ({"wait_s": 5.0, "timeout_s": 5.0}, "wait_s and timeout_s"),
    ],
)
def test_limits_under_which_nobody_is_answered_are_refused(
    limits: dict[str, float], where: str
) -> None:
    with pytest.raises(UsageError) as raised:
        Limits(**limits)  # type: ignore[arg-type]
    assert raised.value.where == where
