"""The queue of a served run: whose turn it is, when there is no room, and what is dropped."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from reclora_cli import device as devices
from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.scoring.lm_scorer import Answered
from reclora_cli.serving.batcher import Batcher
from reclora_cli.serving.counters import Counters
from reclora_cli.serving.job import Job
from reclora_cli.serving.limits import LEAST_QUEUE, Busy, Failed, Limits
from reclora_cli.serving.model import ServedModel
from reclora_cli.stages.opened_run import Prompts
from tests.finetuning import Listening
from tests.served import alone, batching, loaded, model, recommendation, scores, serving
from tests.world import TinyWorld

__all__ = ["model"]


@pytest.fixture(scope="module")
def few_at_once(tuned: TinyWorld) -> ServedModel:
    """A run whose forward passes hold some four prompts."""
    return loaded(tuned, batch_tokens=900)


def passes_until(job: Job, counters: Counters) -> Future[int]:
    """The forward passes that were made when ``job`` was answered."""
    seen: Future[int] = Future()
    job.future.add_done_callback(lambda _: seen.set_result(counters.counts(0, 0).batches.n))
    return seen


def test_a_small_request_is_in_the_first_pass_behind_a_large_one(few_at_once: ServedModel) -> None:
    with batching(few_at_once) as (batcher, counters):
        large = batcher.submit(scores(few_at_once, 0, 40))
        small = batcher.submit(scores(few_at_once, 1))
        first, last = passes_until(small, counters), passes_until(large, counters)
        batcher.start()
        assert first.result(timeout=60) == 1
        assert last.result(timeout=60) >= 10


def test_half_of_the_places_belong_to_the_oldest_request(few_at_once: ServedModel) -> None:
    with batching(few_at_once) as (batcher, counters):
        jobs = [batcher.submit(scores(few_at_once, seed, 24)) for seed in (0, 1)]
        ends = [passes_until(job, counters) for job in jobs]
        batcher.start()
        one, other = (end.result(timeout=60) for end in ends)
    assert other / 2 < one < other  # three of four places, then none


def test_a_large_request_is_answered_while_small_ones_keep_coming(few_at_once: ServedModel) -> None:
    with batching(few_at_once) as (batcher, counters):
        large = batcher.submit(scores(few_at_once, 0, 8))
        end = passes_until(large, counters)

        def another(done: Future[Any]) -> None:
            if not large.future.done():
                small = batcher.submit(scores(few_at_once, 1))
                small.future.add_done_callback(another)

        for seed in range(30):
            batcher.submit(scores(few_at_once, seed)).future.add_done_callback(another)
        batcher.start()
        assert end.result(timeout=60) <= 6
        assert counters.counts(0, 0).batches.largest <= 4


def test_a_pass_holds_no_more_tokens_than_the_recipe_says(
    few_at_once: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    padded: list[int] = []
    answer = ServedModel.answer

    def noting(self: ServedModel, prompts: Prompts) -> Answered:
        padded.append(len(prompts) * int(prompts.encoded.lengths.max()))
        return answer(self, prompts)

    monkeypatch.setattr(ServedModel, "answer", noting)
    with batching(few_at_once) as (batcher, _):
        jobs = [batcher.submit(scores(few_at_once, seed, 7)) for seed in range(4)]
        batcher.start()
        for job in jobs:
            job.future.result(timeout=60)
    assert max(padded) <= few_at_once.batch_tokens
    longest_left_room = few_at_once.batch_tokens - max(padded)
    assert longest_left_room < 300


def test_a_prompt_longer_than_a_pass_goes_alone(tuned: TinyWorld) -> None:
    model = loaded(tuned, batch_tokens=10)
    with batching(model) as (batcher, counters):
        job = batcher.submit(scores(model, 0, 3))
        batcher.start()
        assert job.future.result(timeout=60) == alone(model, scores(model, 0, 3))
        assert counters.counts(0, 0).batches.sizes == {1: 3}


def test_a_first_question_waits_for_others(model: ServedModel) -> None:
    with serving(model, wait_s=0.5) as service:
        jobs = [service.submit(scores(model, seed)) for seed in range(5)]
        for job in jobs:
            job.future.result(timeout=60)
        assert service.counts().batches.sizes == {5: 1}


def test_a_full_queue_refuses_and_says_when_to_come_back(model: ServedModel) -> None:
    with batching(model, queue=LEAST_QUEUE) as (batcher, counters):
        counters.forward(10, 100, 1, 20.0)
        batcher.submit(scores(model, 0, 95))
        with pytest.raises(Busy, match="95 questions wait, of 100 at most") as raised:
            batcher.submit(scores(model, 1, 8))
        assert raised.value.retry_after_s == 6  # three too many, at two seconds each
        assert counters.counts(0, 0).turned_away == {"full": 1}


def test_what_would_run_out_of_time_is_refused_at_once(model: ServedModel) -> None:
    with batching(model, timeout_s=60) as (batcher, counters):
        counters.forward(1, 100, 1, 2.0)
        batcher.submit(scores(model, 0, 25))
        batcher.submit(scores(model, 1, 3))  # six in turn, and half as many again: 18 s
        with pytest.raises(Busy, match="some 129 s") as raised:
            batcher.submit(scores(model, 2, 15))  # all 43, and half as many again
        assert raised.value.retry_after_s == 69
        batcher.submit(scores(model, 3))
        assert counters.counts(0, 0).turned_away == {"slow": 1}


def test_before_the_first_pass_the_pace_is_that_of_a_question_at_the_start(
    model: ServedModel,
) -> None:
    assert 0 < model.seconds_a_question < 5
    slow = replace(model, seconds_a_question=2.0)
    with batching(slow, timeout_s=60) as (batcher, _):
        batcher.submit(scores(model, 0, 25))
        with pytest.raises(Busy, match="some 90 s"):
            batcher.submit(scores(model, 1, 15))


def test_with_nothing_before_it_a_request_is_taken_however_slow_the_last_ones_were(
    model: ServedModel,
) -> None:
    with batching(model, timeout_s=60) as (batcher, counters):
        counters.forward(1, 100, 1, 1000.0)
        job = batcher.submit(scores(model, 0, 2))
        batcher.start()
        assert job.future.result(timeout=60)


def test_the_questions_of_a_request_that_ran_out_of_time_are_not_asked(model: ServedModel) -> None:
    now = [0.0]
    counters = Counters()
    batcher = Batcher(model, Limits(timeout_s=5), counters, clock=lambda: now[0])
    late = batcher.submit(scores(model, 0, 30))
    now[0] = 5.1
    fresh = batcher.submit(scores(model, 1))
    batcher.start()
    fresh.future.result(timeout=60)
    with pytest.raises(Busy, match="not answered within 5 s"):
        late.future.result(timeout=60)
    batcher.close()
    counted = counters.counts(0, 0)
    assert counted.batches.questions == 1
    assert counted.turned_away == {"timeout": 1}


def test_the_questions_of_a_client_that_went_are_not_asked(few_at_once: ServedModel) -> None:
    with batching(few_at_once) as (batcher, counters):
        gone = batcher.submit(recommendation(few_at_once))
        stays = batcher.submit(scores(few_at_once, 1))
        assert batcher.drop(gone, ConnectionAbortedError())
        assert batcher.waiting == 1
        batcher.start()
        stays.future.result(timeout=60)
        assert counters.counts(0, 0).batches.questions == 1
        assert not batcher.drop(gone, ConnectionAbortedError())


class Broken:
    """A request whose questions, or whose result, cannot be made."""

    most = 1

    def __init__(self, model: ServedModel, *, at: str) -> None:
        self._inner, self._at = scores(model, 0), at

    def prompts(self, model: ServedModel) -> Prompts:
        if self._at == "prompts":
            raise UsageError("too long")
        if self._at == "files":
            raise MissingInputError("no such file")
        return self._inner.prompts(model)

    def result(self, model: ServedModel, answered: Answered) -> Any:
        raise UsageError("no result")


@pytest.mark.parametrize(
    ("at", "told"), [("prompts", UsageError), ("files", Failed), ("result", Failed)]
)
def test_a_request_that_fails_fails_alone(
    model: ServedModel, at: str, told: type[Exception]
) -> None:
    with batching(model) as (batcher, _):
        broken, whole = batcher.submit(Broken(model, at=at)), batcher.submit(scores(model, 1))
        batcher.start()
        assert whole.future.result(timeout=60).scores
        with pytest.raises(told):
            broken.future.result(timeout=60)


def test_a_pass_that_fails_is_told_and_the_next_is_made(
    model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(model) as service:
        with monkeypatch.context() as patch:
            patch.setattr(ServedModel, "answer", _no_memory)
            job = service.submit(scores(model, 0))
            with pytest.raises(Failed, match="out of memory"):
                job.future.result(timeout=60)
        assert service.submit(scores(model, 0)).future.result(timeout=60).scores


def _no_memory(self: ServedModel, prompts: Prompts) -> Answered:
    raise RecloraError("out of memory with one prompt", where="evaluate.batch_tokens")


def test_when_it_stops_what_is_under_way_is_answered_and_new_ones_refused(
    few_at_once: ServedModel,
) -> None:
    with batching(few_at_once) as (batcher, counters):
        job = batcher.submit(scores(few_at_once, 0, 12))
        batcher.refuse_new()
        with pytest.raises(Busy, match="stopping"):
            batcher.submit(scores(few_at_once, 1))
        batcher.start()
        assert job.future.result(timeout=60).scores
        assert counters.counts(0, 0).turned_away == {"stopping": 1}


def test_closing_tells_those_who_wait_and_ends_the_thread(few_at_once: ServedModel) -> None:
    before = threading.active_count()
    with batching(few_at_once) as (batcher, _):
        job = batcher.submit(scores(few_at_once, 0, 60))
        batcher.start()
        while not batcher.waiting < 60:
            time.sleep(0.001)
        assert batcher.close() == 1
        with pytest.raises(Busy, match="stopping"):
            job.future.result(timeout=0)
    assert threading.active_count() == before


def test_a_served_run_tells_warnings_once_and_draws_no_progress(tuned: TinyWorld) -> None:
    heard = Listening()
    where = devices.pick("cpu")
    model = ServedModel.load(tuned.recipe, tuned.workspace, where, heard)
    assert any(line.startswith("Run: ") for line in heard.said)
    before = list(heard.said)
    for _ in range(2):
        model.sources.progress.say("passes by")
        model.sources.progress.warn("batches are halved")
    assert (heard.said, heard.warned) == (before, ["batches are halved"])
