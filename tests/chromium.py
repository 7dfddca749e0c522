"""A page opened in headless Chromium without a network, over the DevTools pipe: no driver."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"),
    "--remote-debugging-pipe",
)
_PATIENCE = 60.0
"""Seconds that an answer may take on a busy machine."""
_EXEC = (
    "import os, sys\n"
    "os.dup2(int(sys.argv[1]), 3)\n"
    "os.dup2(int(sys.argv[2]), 4)\n"
    "os.execvp(sys.argv[3], sys.argv[3:])\n"
)


def browser() -> str:
    """Its program; a test that needs it skips without."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no chromium here: on Debian, apt-get install chromium")
    return found


@dataclass
class Opened:
    """A page that was opened.

    Attributes:
        complaints: of the console: what the page logged, threw, or was refused.
        requests: addresses that the page asked for, its own but not those of data.
    """

    tab: Tab
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives in the page."""
        told = self.tab.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return told["result"].get("value")

    def shaped(self, width: int, *, scheme: str = "light") -> None:
        """Show it so wide, under a colour scheme."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.tab.ask("Emulation.setDeviceMetricsOverride", **metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.tab.ask("Emulation.setEmulatedMedia", features=[feature])


class Tab:
    """The DevTools protocol of one tab: JSON texts that end in NUL."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._buffer = b""
        self._asked = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def attach(self) -> None:
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer of one command; events that come before it are kept."""
        self._asked += 1
        message: dict[str, Any] = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._asked:
                assert "error" not in told, told
                return dict(told["result"])
            self.events.append(told)

    def wait(self, event: str) -> None:
        """Until an event came, now or before."""
        while not any(told.get("method") == event for told in self.events):
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reading], [], [], end - time.monotonic())
            assert ready, "chromium does not answer"
            read = os.read(self._reading, 1 << 16)
            assert read, "chromium ended"
            self._buffer += read
        text, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(text))


@contextmanager
def opened(page: Path) -> Iterator[Opened]:
    """``page`` opened and loaded; what it complains of and asks for is written down."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        to_it, from_it = os.pipe(), os.pipe()
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_it[0], from_it[1])]
        command = [browser(), *_FLAGS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [sys.executable, "-c", _EXEC, *map(str, theirs), *command],
            pass_fds=theirs,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for end in (*theirs, to_it[0], from_it[1]):
            os.close(end)
        try:
            tab = Tab(from_it[0], to_it[1])
            tab.attach()
            yield _loaded(tab, page)
        finally:
            process.kill()
            process.wait()
            os.close(to_it[1])
            os.close(from_it[0])


def _loaded(tab: Tab, page: Path) -> Opened:
    for domain in ("Page", "Runtime", "Log", "Network"):
        tab.ask(f"{domain}.enable")
    tab.ask("Page.navigate", url=page.as_uri())
    tab.wait("Page.loadEventFired")
    # What is asked for after the load is too: a turn of the event loop, and a painted frame.
    waiting = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 200)))"
    tab.ask("Runtime.evaluate", expression=waiting, awaitPromise=True)
    found = Opened(tab)
    for told in tab.events:
        method, about = told.get("method"), told.get("params", {})
        if method == "Runtime.consoleAPICalled":
            found.complaints.append(str(about["args"]))
        elif method == "Runtime.exceptionThrown":
            found.complaints.append(str(about["exceptionDetails"].get("text")))
        elif method == "Log.entryAdded":
            found.complaints.append(str(about["entry"]["text"]))
        elif method == "Network.requestWillBeSent":
            found.requests.append(about["request"]["url"])
    found.requests = [address for address in found.requests if not address.startswith("data:")]
    return found
