"""What may be asked over HTTP. Each request becomes a job of ``serving``, which computes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Request
from fastapi.concurrency import run_in_threadpool

from reclora_cli.serving import people
from reclora_cli.serving.counters import Counts
from reclora_cli.serving.explain import AskedExplanation, Explained
from reclora_cli.serving.job import Asked
from reclora_cli.serving.recommend import AskedRecommendation, Recommended
from reclora_cli.serving.score import AskedScores, Scores
from reclora_cli.serving.service import ServedRun, Service
from reclora_cli.stages.asked_user import AskedUser
from reclora_cli.web import bodies
from reclora_cli.web.gatekeeper import HUNG_UP
from reclora_cli.web.problems import BAD, BUSY, answered

router = APIRouter(prefix="/v1")


async def _service(request: Request) -> Service:  # A plain one would wait for a thread.
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(_service)]
_ASKED: dict[int | str, dict[str, Any]] = {**BAD, **BUSY}


@dataclass(frozen=True)
class Alive:
    """The process answers."""

    status: Literal["ok"] = "ok"


@dataclass(frozen=True)
class Ready:
    """Requests are taken."""

    status: Literal["ready"] = "ready"


@router.post(
    "/score",
    tags=["ask"],
    responses=_ASKED,
    summary="P(yes) of pairs, or of items for somebody new",
)
async def score(
    request: Request, service: Served, body: Annotated[bodies.ScoreBody, Body()]
) -> Scores:
    """Asked as `reclora predict` asks. Scores stand in the order of the request."""

    def asked() -> AskedScores:
        if isinstance(body, bodies.ScorePairs):
            return AskedScores.known(service.model, body.said())
        items = [str(item) for item in body.items]
        return AskedScores.new(service.model, body.new_user.said(), items)

    return await _answer(request, service, asked)


@router.post(
    "/recommend", tags=["ask"], responses=_ASKED, summary="The best of what a user has not seen"
)
async def recommend(
    request: Request, service: Served, body: Annotated[bodies.RecommendBody, Body()]
) -> Recommended:
    """As `reclora recommend`: candidates by CRM or likeness, ordered by the LLM, with reasons."""

    def asked() -> AskedRecommendation:
        return AskedRecommendation.of_user(service.model, _whom(service, body), body.wish())

    return await _answer(request, service, asked)


@router.post(
    "/explain", tags=["ask"], responses=_ASKED, summary="What the run reads and mixes for a user"
)
async def explain(
    request: Request, service: Served, body: Annotated[bodies.ExplainBody, Body()]
) -> Explained:
    """Gate weights, behaviours of the prompt, P(yes). It inspects the model and names no causes."""

    def asked() -> AskedExplanation:
        item = None if body.item is None else str(body.item)
        return AskedExplanation.of_user(service.model, _whom(service, body), item)

    return await _answer(request, service, asked)


@router.get("/health", tags=["look"], summary="Whether the process answers")
async def health() -> Alive:
    """Always, while it runs."""
    return Alive()


@router.get("/ready", tags=["look"], responses=BUSY, summary="Whether requests are taken")
async def ready(service: Served) -> Ready:
    """503 once the server is told to stop."""
    service.batcher.require_open()
    return Ready()


@router.get("/info", tags=["look"], summary="What is served, and what a request may say")
async def info(service: Served) -> ServedRun:
    """Of the run and its dataset."""
    return service.describe()


@router.get("/stats", tags=["look"], summary="Counters since the start")
async def stats(service: Served) -> Counts:
    """Requests by path and status, forward passes and their sizes, latencies."""
    return service.counts()


def _whom(service: Service, body: bodies.RecommendBody | bodies.ExplainBody) -> AskedUser:
    """The user of the dataset, or somebody new, that ``body`` is about."""
    if isinstance(body, bodies.RecommendToUser | bodies.ExplainUser):
        return people.known(service.model, str(body.user))
    return people.new(service.model, body.new_user.said())


async def _answer(request: Request, service: Service, asked: Callable[[], Asked]) -> Any:
    """The result of what ``asked`` finds; or nothing, to a client that went."""
    found = await run_in_threadpool(asked)
    job = service.submit(found)
    answer = asyncio.wrap_future(job.future)
    answer.add_done_callback(lambda done: done.exception())  # Nobody may be left to hear of it.
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait(
            {answer, gone},
            timeout=service.limits.timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if answer.done():
            return answer.result()
        if gone.done():
            return answered(HUNG_UP, "the client hung up")
        service.batcher.late(job)
        return await answer
    finally:
        gone.cancel()
        if not answer.done() and service.batcher.drop(job, ConnectionAbortedError()):
            service.counters.hung_up()


async def _gone(request: Request) -> None:
    """Ends when the client hangs up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
