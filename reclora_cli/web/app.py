"""The ASGI application around a service."""

from __future__ import annotations

from importlib import metadata

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from reclora_cli.serving.service import Service
from reclora_cli.web import problems
from reclora_cli.web.gatekeeper import App, Gatekeeper
from reclora_cli.web.routes import router

_ABOUT = """P(yes) of a user and an item by a RecLoRA run, recommendations, and what the run mixes.

Questions of all who wait share forward passes, each row under gate weights of its own. Errors are
`{"error": {"what", "where", "hint"}}`. 503 says in `Retry-After` when to ask again. There is no
authentication and no TLS."""


def create_app(service: Service) -> App:
    """The application; ``service`` is closed by who opened it."""
    api: FastAPI = FastAPIOffline(  # Its pages need no network.
        title="reclora",
        version=metadata.version("reclora"),
        description=_ABOUT,
        redoc_url=None,
        static_url="/docs-files",
    )
    api.state.service = service
    api.include_router(router)
    problems.install(api)
    paths = frozenset(api.openapi()["paths"])
    return Gatekeeper(api, service.counters, paths)
