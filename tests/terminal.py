"""Commands on a pseudo-terminal, and what they show there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from pathlib import Path

from tests.cli.conftest import clean_environment, command_line

PATIENCE_S = 300.0
"""A command that shows nothing for so long hangs: the test that waits for it fails."""


def on_a_terminal(
    arguments: list[str], folder: Path, **environment: str
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a command with a pseudo-terminal as all three streams; returns its other end."""
    screen, inner = pty.openpty()
    process = subprocess.Popen(
        command_line(arguments),
        cwd=folder,
        env=clean_environment(TERM="xterm", COLUMNS="100", **environment),
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        preexec_fn=lambda: _own_terminal(0),
    )
    os.close(inner)
    return process, screen


def _own_terminal(stream: int) -> None:
    fcntl.ioctl(stream, termios.TIOCSCTTY, 0)


def read_until(screen: int, mark: str, seconds: float = PATIENCE_S) -> str:
    """What appears on the screen up to ``mark``, until it closes, or within ``seconds``."""
    shown, end = b"", time.monotonic() + seconds
    while mark not in shown.decode(errors="replace"):
        ready, _, _ = select.select([screen], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            break
        try:
            found = os.read(screen, 4096)
        except OSError:  # The other end is closed, and all was read.
            break
        if not found:
            break
        shown += found
    return shown.decode(errors="replace")
