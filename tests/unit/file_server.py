"""A tiny web server on the loopback that can behave badly on purpose."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class FileServer:
    """What is served, how, and what was asked.

    Attributes:
        files: path -> content.
        cut_after: path -> bytes after which each of the next ``cuts`` answers breaks off.
        ranges: whether byte ranges are honoured.
        total_in_416: whether an answer 416 says how long the file is.
        headers: path -> further headers of its answers; they replace the usual ones.
        answers: statuses of the next answers, with their headers, in place of the file.
        redirects: path -> address that its answers lead to.
        stall: path -> seconds of silence, ``stall_at`` bytes into its content.
        asked: (path, Range header) of every GET.
        times: when each of them came.
        headed: path of every HEAD.
        sent: headers of every GET.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: dict[str, int] = field(default_factory=dict)
    cuts: int = 0
    ranges: bool = True
    total_in_416: bool = True
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    stall: dict[str, float] = field(default_factory=dict)
    stall_at: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    headed: list[str] = field(default_factory=list)
    sent: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[FileServer]:
    """A server on a free port, stopped at the end.

    Args:
        certificate: PEM file with a key and a certificate; with it the server speaks TLS.
    """
    state = FileServer()
    server = _Server(("127.0.0.1", 0), _handler(state))
    state.url = f"http://127.0.0.1:{server.server_port}"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        state.url = f"https://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that go away, or refuse a certificate, are part of the tests."""


def _handler(state: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            state.headed.append(self.path)
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
            else:
                self._head(200, {"Content-Length": str(len(content))})

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            state.times.append(time.monotonic())
            state.sent.append(dict(self.headers.items()))
            content = state.files.get(self.path)
            if state.answers:
                status, headers = state.answers.pop(0)
                self._head(status, {"Content-Length": "0", **headers})
            elif self.path in state.redirects:
                self._head(302, {"Location": state.redirects[self.path], "Content-Length": "0"})
            elif content is None:
                self.send_error(404)
            else:
                self._answer(content, _start(wanted) if self._may_send_a_part() else 0)

        def _may_send_a_part(self) -> bool:
            condition = self.headers.get("If-Range")
            current = state.headers.get(self.path, {})
            known = (current.get("ETag"), current.get("Last-Modified"))
            return state.ranges and (condition is None or condition in known)

        def _answer(self, content: bytes, start: int) -> None:
            if start >= len(content) > 0 and start:
                total = {"Content-Range": f"bytes */{len(content)}"} if state.total_in_416 else {}
                self._head(416, {"Content-Length": "0", **total})
                return
            body = content[start:]
            usual = {"Content-Length": str(len(body))}
            if start:
                usual["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._head(206 if start else 200, usual)
            if self.path in state.cut_after and state.cuts > 0:
                state.cuts -= 1
                body = body[: state.cut_after[self.path]]
            at = state.stall_at if self.path in state.stall else 0
            self.wfile.write(body[:at])
            time.sleep(state.stall.get(self.path, 0))
            self.wfile.write(body[at:])

        def _head(self, status: int, usual: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**usual, **state.headers.get(self.path, {})}.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


def _start(wanted: str | None) -> int:
    found = re.match(r"bytes=(\d+)-", wanted or "")
    return int(found.group(1)) if found else 0
