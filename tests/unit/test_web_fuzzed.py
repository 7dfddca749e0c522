"""The application against its own OpenAPI document: made-up requests, fitting and not.

No 500, every answer as the document says, and nothing accepted that the document forbids.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.generation import GenerationMode
from schemathesis.openapi.loaders import from_asgi
from schemathesis.specs.openapi import checks as openapi_checks

from reclora_cli.serving.model import ServedModel
from reclora_cli.serving.service import Service
from reclora_cli.web.app import create_app
from reclora_cli.web.gatekeeper import App
from tests.served import asked, model, serving
from tests.world import ITEMS, USERS, movie_id, user_id

__all__ = ["model"]

OPERATIONS = [
    *(("POST", f"/v1/{name}") for name in ("score", "recommend", "explain")),
    *(("GET", f"/v1/{name}") for name in ("health", "ready", "info", "stats")),
]
CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
    openapi_checks.unsupported_method,
]

_QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture]
fuzzed = settings(max_examples=30, suppress_health_check=_QUIET)


@pytest.fixture(scope="module")
def service(model: ServedModel) -> Iterator[Service]:
    with serving(model, wait_s=0.0) as service:
        yield service


@pytest.fixture(scope="module")
def app(service: Service) -> App:
    return create_app(service)


@pytest.mark.parametrize(
    ("operation", "mode"),
    [(one, GenerationMode.POSITIVE) for one in OPERATIONS]
    + [(one, GenerationMode.NEGATIVE) for one in OPERATIONS if one[0] == "POST"],
)
@given(data=st.data())
@fuzzed
def test_no_made_up_request_is_answered_otherwise_than_documented(
    app: App, operation: tuple[str, str], mode: GenerationMode, data: st.DataObject
) -> None:
    method, path = operation
    described = from_asgi("/openapi.json", app)[path][method]
    case = data.draw(described.as_strategy(generation_mode=mode))
    case.call_and_validate(checks=CHECKS)


def test_every_operation_of_the_document_is_fuzzed(app: App) -> None:
    described = from_asgi("/openapi.json", app)
    found = {(o.ok().method.upper(), o.ok().path) for o in described.get_all_operations()}
    assert found == set(OPERATIONS)


def mostly(known: st.SearchStrategy[Any], *others: Any) -> st.SearchStrategy[Any]:
    """One in five is another."""
    one = st.integers(0, 4)
    return one.flatmap(lambda drawn: known if drawn else st.sampled_from(others))


items = mostly(st.integers(0, ITEMS - 1).map(movie_id), "heat 4 (1984)", "", "Heet", -3)
users = mostly(st.integers(0, USERS - 1).map(user_id), "4", "x", -1)
times = st.one_of(
    st.none(),
    mostly(
        st.integers(978_299_000, 978_310_000),
        *("2000-12-31", "1234", "0001-01-01", "9999-12-31T23:59:59+14:00", "soon"),
    ),
)
ratings = mostly(st.integers(1, 5), 4.0, 2.5, 1e308, 0)
new_users = st.fixed_dictionaries(
    {
        "history": st.lists(
            st.fixed_dictionaries({"item": items, "rating": ratings}, optional={"time": times}),
            max_size=6,
        )
    },
    optional={"profile": st.dictionaries(mostly(st.just("gender"), "age", "x"), st.just("F"))},
)
whom = st.one_of(
    st.fixed_dictionaries({"user": users}), st.fixed_dictionaries({"new_user": new_users})
)
wishes = st.fixed_dictionaries(
    {},
    optional={
        "top": mostly(st.integers(1, 12), 0, 101),
        "candidates": mostly(st.integers(1, 12), 0, 101),
        "by": mostly(st.sampled_from(["crm", "similar", None]), "x"),
        "genres": st.lists(mostly(st.sampled_from(["Comedy", "drama"]), "Comdy"), max_size=2),
        "items": st.lists(items, max_size=5),
    },
)
pairs = st.fixed_dictionaries({"user": users, "item": items}, optional={"time": times})
requests = st.one_of(
    st.tuples(st.just("score"), st.lists(pairs, max_size=4).map(lambda said: {"pairs": said})),
    st.tuples(
        st.just("score"),
        st.fixed_dictionaries({"new_user": new_users, "items": st.lists(items, max_size=4)}),
    ),
    st.tuples(st.just("recommend"), st.builds(lambda a, b: a | b, whom, wishes)),
    st.tuples(
        st.just("explain"),
        st.builds(lambda a, b: a | b, whom, st.fixed_dictionaries({}, optional={"item": items})),
    ),
)


def test_requests_of_known_names_are_answered_or_refused_by_name(app: App) -> None:
    ended: Counter[tuple[str, int]] = Counter()

    @given(drawn=requests)
    @settings(max_examples=200, suppress_health_check=_QUIET)
    def answered_or_refused(drawn: tuple[str, Any]) -> None:
        path, body = drawn
        done = asyncio.run(asked(app, "POST", f"/v1/{path}", json=body))
        ended[path, done.status_code] += 1
        assert done.status_code in {200, 422}, done.text
        if done.status_code == 200:
            answer = done.json()
            found = answer.get("scores") or answer.get("recommendations") or [answer]
            assert all(0 <= one["probability"] <= 1 for one in found)
        else:
            assert done.json()["error"]["where"]

    answered_or_refused()
    both = {(path, status) for path in ("score", "recommend", "explain") for status in (200, 422)}
    assert set(ended) == both
    assert min(ended.values()) >= 8, ended
