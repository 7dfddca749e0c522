"""A served run over HTTP that cannot answer now: no room, no time, nobody who waits, no memory."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from reclora_cli.errors import RecloraError
from reclora_cli.scoring.lm_scorer import Answered
from reclora_cli.serving.limits import LEAST_QUEUE
from reclora_cli.serving.model import ServedModel
from reclora_cli.stages.opened_run import Prompts
from reclora_cli.web.app import create_app
from tests.served import alone, asked, model, one, problem, scores, serving

__all__ = ["model"]


def test_without_room_it_is_503_with_when_to_come_back(model: ServedModel) -> None:
    with serving(model, queue=LEAST_QUEUE) as service:
        app = create_app(service)
        service.batcher.refuse_new()
        for method, path, how in (("POST", "/v1/score", {"json": one()}), ("GET", "/v1/ready", {})):
            done = asyncio.run(asked(app, method, path, **how))
            assert done.status_code == 503
            assert int(done.headers["Retry-After"]) >= 1
            assert "stopping" in problem(done)["what"]
        assert asyncio.run(asked(app, "GET", "/v1/health")).status_code == 200


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Forward passes wait until this is set."""
    go, answer = threading.Event(), ServedModel.answer

    def holding(self: ServedModel, prompts: Prompts) -> Answered:
        go.wait(60)
        return answer(self, prompts)

    monkeypatch.setattr(ServedModel, "answer", holding)
    yield go
    go.set()


def test_out_of_time_is_503_and_the_next_is_answered(
    model: ServedModel, held: threading.Event
) -> None:
    with serving(model, timeout_s=0.2) as service:
        done = asyncio.run(asked(create_app(service), "POST", "/v1/score", json=one()))
        assert done.status_code == 503
        assert problem(done)["what"] == "not answered within 0.2 s"
        assert service.counts().turned_away == {"timeout": 1}
        held.set()
        assert service.submit(scores(model, 0)).future.result(60) == alone(model, scores(model, 0))


def test_who_hangs_up_leaves_nothing_in_the_queue(
    model: ServedModel, held: threading.Event
) -> None:
    async def hang_up(app: Any) -> list[dict[str, Any]]:
        body = json.dumps({"pairs": one()["pairs"] * 7}).encode()
        sent: list[dict[str, Any]] = []
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            for message in messages:
                return message
            while service.batcher.open_requests < 2:
                await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await app(_scope(), receive, send)
        return sent

    with serving(model, wait_s=0.0) as service:
        first = service.submit(scores(model, 0))
        while service.batcher.waiting:
            threading.Event().wait(0.01)
        sent = asyncio.run(hang_up(create_app(service)))
        assert sent[0]["status"] == 499
        assert (service.batcher.waiting, service.counts().hung_up) == (0, 1)
        held.set()
        first.future.result(60)
        assert service.batcher.wait_until_idle(60)
        assert service.counts().batches.questions == 1


def _scope() -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/score",
        "raw_path": b"/v1/score",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "server": ("served", 80),
    }


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RecloraError("out of memory", where="evaluate.batch_tokens"), "out of memory"),
        (RuntimeError("secret"), "unexpected: RuntimeError"),
    ],
)
def test_an_error_of_the_models_is_500_in_the_same_shape(
    model: ServedModel, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def failing(self: ServedModel, prompts: Prompts) -> Answered:
        raise error

    with serving(model) as service:
        monkeypatch.setattr(ServedModel, "answer", failing)
        done = asyncio.run(asked(create_app(service), "POST", "/v1/score", json=one()))
        assert service.counts().requests == {"/v1/score": {500: 1}}
    assert done.status_code == 500
    assert problem(done)["what"] == words
