"""Around every request: how long a body may be, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from reclora_cli.serving.counters import Counters
from reclora_cli.serving.limits import BODY_BYTES
from reclora_cli.web.problems import answered

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
        if ended:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._counters.request(path, ended, time.monotonic() - began)


async def _body(scope: Any, receive: Receive) -> list[Message] | None:
    """The messages that make the body; ``None`` once they are too long."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared[:20]) > BODY_BYTES:
        return None
    messages, size = [], 0
    while True:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if size > BODY_BYTES:
            return None
        if not message.get("more_body"):
            return messages


def _again(messages: list[Message], receive: Receive) -> Receive:
    """``receive`` that gives ``messages`` once more, and then what follows."""
    left = iter(messages)

    async def received() -> Message:
        for message in left:
            return message
        return await receive()

    return received
