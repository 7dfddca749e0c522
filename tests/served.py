"""The tiny world's runs, served: what tests of ``serving`` and ``web`` ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from reclora_cli import device as devices
from reclora_cli.serving.batcher import Batcher
from reclora_cli.serving.counters import Counters
from reclora_cli.serving.limits import Limits
from reclora_cli.serving.model import ServedModel
from reclora_cli.serving.people import BehaviourSaid, NewUserSaid
from reclora_cli.serving.recommend import AskedRecommendation, Wish
from reclora_cli.serving.score import AskedScores, PairSaid
from reclora_cli.serving.service import Service
from reclora_cli.stages.asked_user import AskedUser
from tests.evaluated_runs import GATED
from tests.tuned_runs import USER
from tests.world import ITEMS, USERS, TinyWorld, movie_id, user_id

SOMEBODY = NewUserSaid(
    [BehaviourSaid(str(movie_id(at)), rating) for at, rating in ((3, 5.0), (9, 2.0), (17, 4.0))],
    {"gender": "F"},
)


def loaded(world: TinyWorld, run: str = GATED, batch_tokens: int | None = None) -> ServedModel:
    model = ServedModel.load(world.recipe, world.workspace, devices.pick("cpu"), run=run)
    return replace(model, batch_tokens=batch_tokens) if batch_tokens else model


@pytest.fixture(scope="module")
def model(tuned: TinyWorld) -> ServedModel:
    """A run with a gate, loaded once."""
    return loaded(tuned)


def pairs(seed: int, count: int = 1) -> list[PairSaid]:
    """Pairs of drawn users and items."""
    rng = np.random.default_rng(seed)
    drawn = zip(rng.integers(USERS, size=count), rng.integers(ITEMS, size=count), strict=True)
    return [PairSaid(str(user_id(int(u))), str(movie_id(int(i)))) for u, i in drawn]


def scores(model: ServedModel, seed: int, count: int = 1) -> AskedScores:
    return AskedScores.known(model, pairs(seed, count))


def recommendation(model: ServedModel, user: str = "4", **wish: Any) -> AskedRecommendation:
    asked = AskedUser.stored(model.sources, user)
    return AskedRecommendation.of_user(model, asked, Wish(**wish))


def alone(model: ServedModel, asked: Any) -> Any:
    """What a request comes to when nobody else asks."""
    return asked.result(model, model.answer(asked.prompts(model)))


@contextmanager
def batching(model: ServedModel, **limits: Any) -> Iterator[tuple[Batcher, Counters]]:
    """A batcher that is not started yet: what is submitted before is there when it starts."""
    counters = Counters()
    batcher = Batcher(model, Limits(**limits), counters)
    try:
        yield batcher, counters
    finally:
        batcher.close()


@contextmanager
def serving(model: ServedModel, **limits: Any) -> Iterator[Service]:
    with Service(model, Limits(**limits)) as service:
        yield service


async def asked(app: Any, method: str, path: str, **how: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://served") as client:
        return await client.request(method, path, **how)


def one(item: int = 3) -> dict[str, Any]:
    return {"pairs": [{"user": USER, "item": movie_id(item)}]}


def problem(response: httpx.Response) -> dict[str, Any]:
    """The error of an answer, which has the documented shape."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"what", "where", "hint"}
    return body["error"]
