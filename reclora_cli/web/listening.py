"""A server from its start to its stop: an address, an event loop, signals."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.serving.service import Service
from reclora_cli.web.app import create_app

_BACKLOG = 2048
_CLOSING_S = 5
_TURN_S = 0.0005


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections; ``port`` 0 is any that is free.

    Raises:
        UsageError: no such address.
        RecloraError: the port is taken, or not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"no address {host!r} ({error})", where="--host") from None
    family, kind, protocol, _, address = found[0]
    # Without its protocol asyncio leaves Nagle's algorithm on, and answers come 40 ms late.
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        raise RecloraError(
            f"cannot listen there ({error.strerror or error})",
            where=f"{host}:{port}",
            hint="Name another port with --port; --port 0 takes any that is free.",
        ) from None
    return opened


def url_of(listening: socket.socket) -> str:
    """Where it is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_local(listening: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def serve(
    service: Service,
    listening: socket.socket,
    *,
    on_start: Callable[[], None],
    on_stop: Callable[[], None],
    log_requests: bool = False,
) -> int:
    """Answer until SIGTERM or SIGINT; how many requests were left unanswered.

    Then new requests are refused with 503 while those under way are answered, for as long as
    ``limits.grace_s``; a second signal ends that at once.

    Args:
        on_start: called when a signal stops it as it should; the socket takes connections already.
        on_stop: called when the first signal arrives.
    """
    config = uvicorn.Config(
        create_app(service),
        log_config=None,
        access_log=log_requests,
        lifespan="off",
        timeout_graceful_shutdown=_CLOSING_S,
        backlog=_BACKLOG,
    )
    server = _Server(config, service, on_start, on_stop)
    with short_turns():
        return asyncio.run(server.until_stopped(listening))


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Threads of Python take turns every 0.5 ms, not every 5.

    A forward pass gives the interpreter up in each of its thousand operations; beside one thread
    that is busy in Python, such as one that seeks near names, it waited out a turn each time.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class _Server(uvicorn.Server):
    """uvicorn's, which stops when the requests under way are answered."""

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        on_start: Callable[[], None],
        on_stop: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._service, self._on_start, self._on_stop = service, on_start, on_stop
        self._stops = 0
        self._told = asyncio.Event()
        self._hurried = asyncio.Event()

    async def until_stopped(self, listening: socket.socket) -> int:
        self._loop = asyncio.get_running_loop()
        serving = asyncio.ensure_future(self.serve(sockets=[listening]))
        told = asyncio.ensure_future(self._told.wait())
        await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        cut = await self._drain() if self._stops else 0
        self.should_exit = True
        await serving
        return cut

    async def _drain(self) -> int:
        """Answer what is under way; how many requests are not."""
        # Where nobody reads what it says any more, Rich ends the process.
        with contextlib.suppress(OSError, SystemExit):
            self._on_stop()
        batcher = self._service.batcher
        batcher.refuse_new()
        grace = self._service.limits.grace_s
        idle = asyncio.ensure_future(asyncio.to_thread(batcher.wait_until_idle, grace))
        hurried = asyncio.ensure_future(self._hurried.wait())
        await asyncio.wait({idle, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        cut = batcher.cut()  # Now it is idle.
        await idle
        return cut

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but the process does not end by the signal: to be stopped is no failure."""
        known = {
            one: signal.signal(one, self._signalled) for one in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            self._on_start()
            yield
        finally:
            for one, handler in known.items():
                signal.signal(one, handler)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1
        event = self._told if self._stops == 1 else self._hurried
        self._loop.call_soon_threadsafe(event.set)
