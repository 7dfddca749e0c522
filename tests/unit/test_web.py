"""A served run over HTTP: what is answered, and every way in which it is not."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.serving.counters import Counters
from reclora_cli.serving.limits import BODY_BYTES, HISTORY, PAIRS
from reclora_cli.serving.model import ServedModel
from reclora_cli.serving.service import Service
from reclora_cli.web.app import create_app
from reclora_cli.web.gatekeeper import Gatekeeper
from reclora_cli.web.listening import is_local, listen, short_turns, url_of
from tests.served import asked, model, one, problem, serving
from tests.tuned_runs import USER
from tests.world import ITEMS, movie_id

__all__ = ["model"]

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def service(model: ServedModel) -> Iterator[Service]:
    with serving(model) as service:
        yield service


@pytest.fixture
def ask(service: Service) -> Ask:
    return lambda method, path, **how: asyncio.run(asked(create_app(service), method, path, **how))


def test_scores_stand_in_the_order_of_the_request(ask: Ask, model: ServedModel) -> None:
    titles = model.sources.store.items["title"]
    pairs = [{"user": int(USER), "item": str(titles.iloc[at])} for at in (9, 3, 9)]
    done = ask("POST", "/v1/score", json={"pairs": pairs})
    assert done.status_code == 200
    told = done.json()
    assert told["run"] == model.run.name
    assert [one["item"] for one in told["scores"]] == [str(movie_id(at)) for at in (9, 3, 9)]
    first, last = (told["scores"][at]["probability"] for at in (0, 2))
    assert first == pytest.approx(last, abs=1e-5)
    assert all(0 < one["probability"] < 1 and one["user"] == USER for one in told["scores"])


def test_somebody_new_is_scored_and_recommended_to(ask: Ask) -> None:
    new = {"history": [{"item": movie_id(3), "rating": 5}], "profile": {"gender": "F"}}
    done = ask("POST", "/v1/score", json={"new_user": new, "items": [movie_id(4)]})
    assert (done.status_code, done.json()["scores"][0]["user"]) == (200, None)
    done = ask("POST", "/v1/recommend", json={"new_user": new, "top": 3, "candidates": 5})
    told = done.json()
    assert (told["history"], told["candidates"], told["pool"]) == (1, 5, ITEMS - 1)
    assert [one["rank"] for one in told["recommendations"]] == [1, 2, 3]


def test_an_explanation_holds_gate_weights_behaviours_and_probability(ask: Ask) -> None:
    done = ask("POST", "/v1/explain", json={"user": USER})
    told = done.json()
    assert done.status_code == 200
    assert sum(told["gate"]["row"]) == pytest.approx(1, abs=1e-4)
    assert len(told["behaviours"]) == 3
    assert 0 < told["probability"] < 1


def test_what_is_served_and_what_was_asked_is_told(ask: Ask, service: Service) -> None:
    assert ask("GET", "/v1/health").json() == {"status": "ok"}
    assert ask("GET", "/v1/ready").json() == {"status": "ready"}
    info = ask("GET", "/v1/info").json()
    assert info["items"] == ITEMS
    assert "Comedy" in info["genres"]
    assert info["profile"]["gender"] == ["female", "male"]
    before = service.counts()
    ask("POST", "/v1/score", json=one())
    ask("POST", "/v1/score", json={})
    ask("GET", "/nowhere")
    stats = ask("GET", "/v1/stats").json()

    def grown(path: str, status: int) -> int:
        return stats["requests"][path][str(status)] - before.requests.get(path, {}).get(status, 0)

    assert grown("/v1/score", 200) == grown("/v1/score", 422) == grown("other", 404) == 1
    assert stats["batches"]["questions"] == before.batches.questions + 1
    assert 0 < stats["latency"]["/v1/score"]["p50"] <= stats["latency"]["/v1/score"]["p95"]


@pytest.mark.parametrize(
    ("path", "body", "where", "words"),
    [
        ("score", {"pairs": [{"user": 99999, "item": 5}]}, "pairs[0].user", "Near ones"),
        ("score", {"pairs": [{"user": USER, "item": "Heet"}]}, "pairs[0].item", "Near ones"),
        ("score", {"pairs": []}, "pairs", "at least 1"),
        ("score", {"pairs": [{"user": USER, "itm": 5}]}, "pairs[0].item", "required"),
        ("score", {"pairs": [one()["pairs"][0]] * (PAIRS + 1)}, "pairs", "at most 100"),
        ("score", {"pairs": [{"user": USER, "item": 5, "time": "soon"}]}, "pairs[0].time", "ISO"),
        ("score", {"items": [5]}, "pairs", "required"),
        ("score", [], "body", "valid"),
        ("recommend", {"user": USER, "genres": ["Comdy"]}, "genres", "Did you mean Comedy?"),
        ("recommend", {"user": USER, "top": 0}, "top", "greater than or equal to 1"),
        ("recommend", {"user": USER, "top": "3"}, "top", "valid integer"),
        ("recommend", {"user": USER, "new_user": {"history": []}}, "user", "not permitted"),
        (
            "score",
            {"new_user": {"history": [{"item": 5}]}, "items": [5]},
            "new_user.history[0].rating",
            "required",
        ),
        ("recommend", {"top": 3}, "user", "required"),
        ("explain", {"new_user": {"history": []}}, "item", "required"),
        ("explain", {"user": USER, "item": "\udc80"}, "item", "valid string"),
        ("explain", {"user": USER, "\udc80": 1}, "body", "valid string"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(
    ask: Ask, path: str, body: Any, where: str, words: str
) -> None:
    done = ask(
        "POST",
        f"/v1/{path}",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert done.status_code == 422
    told = problem(done)
    assert told["where"].endswith(where)
    assert words in f"{told['what']} {told['hint']}"


@pytest.mark.parametrize("body", [b"{", b"{]", b"\xff", b"9" * 5000, b"[" * 100_000])
def test_what_is_no_json_is_a_bad_request(ask: Ask, body: bytes) -> None:
    done = ask("POST", "/v1/score", content=body, headers={"Content-Type": "application/json"})
    assert done.status_code == 400
    problem(done)


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded"])
def test_json_that_is_not_declared_is_told_what_it_lacks(ask: Ask, kind: str | None) -> None:
    """As ``curl -d`` sends it."""
    headers = {} if kind is None else {"Content-Type": kind}
    done = ask("POST", "/v1/score", content=json.dumps(one()), headers=headers)
    assert done.status_code == 422
    assert "Content-Type: application/json" in problem(done)["hint"]


def test_a_form_of_another_site_cannot_ask(ask: Ask) -> None:
    """A browser sends these without asking the server first; JSON it does not."""
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        done = ask("POST", "/v1/score", content=json.dumps(one()), headers={"Content-Type": kind})
        assert done.status_code == 422
        problem(done)


def test_an_unknown_address_and_method_have_the_same_shape(ask: Ask) -> None:
    assert problem(ask("GET", "/v1/scores"))["hint"] == "See /docs."
    done = ask("GET", "/v1/score")
    assert (done.status_code, done.headers["Allow"]) == (405, "POST")
    problem(done)


async def _endless() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b" " * (BODY_BYTES // 2)


@pytest.mark.parametrize("content", [b" " * (BODY_BYTES + 1), _endless])
def test_a_body_that_is_too_long_is_refused_declared_or_not(ask: Ask, content: Any) -> None:
    done = ask("POST", "/v1/score", content=content() if callable(content) else content)
    assert done.status_code == 413
    assert "1,048,576" in problem(done)["what"]


@pytest.fixture
def gatekeeper() -> tuple[Gatekeeper, Counters, list[Any]]:
    """Before an application that only reads its body; what it read."""
    read: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        read.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})

    counters = Counters()
    return Gatekeeper(app, counters, frozenset({"/v1/score"})), counters, read


async def _send(message: Any) -> None:
    pass


async def _pieces(gatekeeper: Gatekeeper, messages: Iterator[dict[str, Any]]) -> None:
    async def receive() -> dict[str, Any]:
        return next(messages)

    await gatekeeper({"type": "http", "path": "/v1/score", "headers": []}, receive, _send)


def test_a_body_in_many_pieces_is_kept_as_one(
    gatekeeper: tuple[Gatekeeper, Counters, list[Any]],
) -> None:
    """A message for each byte would take some hundred times the memory of the bytes."""
    guarded, _, read = gatekeeper
    pieces = ({"type": "http.request", "body": b"1", "more_body": at < 999} for at in range(1000))
    asyncio.run(_pieces(guarded, pieces))
    assert read == [{"type": "http.request", "body": b"1" * 1000, "more_body": False}]


def test_who_hangs_up_within_the_body_is_counted_so(
    gatekeeper: tuple[Gatekeeper, Counters, list[Any]],
) -> None:
    guarded, counters, read = gatekeeper
    half = {"type": "http.request", "body": b"{", "more_body": True}
    asyncio.run(_pieces(guarded, iter([half, {"type": "http.disconnect"}])))
    counted = counters.counts(0, 0)
    assert (counted.requests, counted.hung_up, read) == ({"/v1/score": {499: 1}}, 1, [])


def test_the_largest_history_fits_a_body() -> None:
    behaviour = {"item": "x" * 200, "rating": 4.5, "time": "2000-12-31T23:59:59Z"}
    assert len(json.dumps([behaviour] * HISTORY)) < BODY_BYTES


def test_the_page_of_the_requests_needs_no_network(ask: Ask) -> None:
    page = ask("GET", "/docs")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) >= 3
    for link in links:
        assert link.startswith("/")
        assert ask("GET", link).status_code == 200
    assert "https://" not in page.text


def test_the_document_declares_limits_errors_and_retry_after(ask: Ask) -> None:
    document = ask("GET", "/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert schemas["ScorePairs"]["properties"]["pairs"]["maxItems"] == PAIRS
    assert schemas["NewUser"]["properties"]["history"]["maxItems"] == HISTORY
    assert schemas["ScorePairs"]["additionalProperties"] is False
    for path in ("score", "recommend", "explain"):
        answers = document["paths"][f"/v1/{path}"]["post"]["responses"]
        assert set(answers) == {"200", "400", "413", "422", "500", "503"}
        assert "Retry-After" in answers["503"]["headers"]
        for status in ("413", "422", "503"):
            [content] = answers[status]["content"].values()
            assert content["schema"]["$ref"].endswith("/ProblemBody")
    assert "HTTPValidationError" not in schemas


def test_a_port_that_is_taken_and_an_address_that_is_none_are_told() -> None:
    with listen("127.0.0.1", 0) as one:
        assert is_local(one)
        assert url_of(one) == f"http://127.0.0.1:{one.getsockname()[1]}"
        assert one.proto == socket.IPPROTO_TCP, "else asyncio lets Nagle delay each answer by 40 ms"
        with pytest.raises(RecloraError, match="cannot listen there") as raised:
            listen("127.0.0.1", one.getsockname()[1])
        assert "--port 0" in str(raised.value)
    with pytest.raises(UsageError, match="no address"):
        listen("no such host.invalid", 0)
    with listen("0.0.0.0", 0) as everywhere:
        assert not is_local(everywhere)


def test_while_it_serves_threads_take_short_turns_and_afterwards_as_before() -> None:
    before = sys.getswitchinterval()
    with short_turns():
        assert sys.getswitchinterval() == pytest.approx(0.0005)
    assert sys.getswitchinterval() == before


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_of_ipv6_is_written_in_brackets() -> None:
    try:
        with listen("::1", 0) as six:
            assert url_of(six).startswith("http://[::1]:")
    except RecloraError:
        pytest.skip("no IPv6 loopback here")
