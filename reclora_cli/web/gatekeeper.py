"""Around every request: how long a body may be, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from reclora_cli.serving.counters import Counters
from reclora_cli.serving.limits import BODY_BYTES
from reclora_cli.web.problems import answered

HUNG_UP = 499
"""What is counted when a client went before its answer; nobody reads it."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


class Gatekeeper:
    """Reads a body before anything else does, up to a limit, and counts answers.

    Args:
        paths: counted by name; others together, so that made-up addresses take no memory.
    """

    def __init__(self, app: App, counters: Counters, paths: frozenset[str]) -> None:
        self._app, self._counters, self._paths = app, counters, paths

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, ended = time.monotonic(), 0

        async def noting(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                ended = message["status"]
            await send(message)

        try:
            body = await _body(scope, receive)
            if body is None:
                told = answered(
                    413,
                    f"the body is longer than {BODY_BYTES:,} bytes",
                    hint="Ask in several requests.",
                    headers={"Connection": "close"},
                )
                await told(scope, receive, noting)
            else:
                await self._app(scope, _again(body, receive), noting)
        except _HungUp:
            ended = HUNG_UP
            self._counters.hung_up()
        finally:  # What nobody foresaw is raised again once it is answered.
            if ended:
                path = scope["path"] if scope["path"] in self._paths else "other"
                self._counters.request(path, ended, time.monotonic() - began)


class _HungUp(Exception):
    """The client went before its body was there."""


async def _body(scope: Any, receive: Receive) -> bytes | None:
    """The whole body; ``None`` once it is too long.

    Raises:
        _HungUp: it does not come to its end.
    """
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared[:20]) > BODY_BYTES:
        return None
    body = bytearray()  # One, however small its pieces are.
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _HungUp
        body += message.get("body", b"")
        if len(body) > BODY_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """``receive`` that gives ``body`` once more, and then what follows."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return left.pop() if left else await receive()

    return received
