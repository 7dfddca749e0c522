"""How long a server that is busy, or a connection that is lost, is borne with."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from reclora_cli.progress import SILENT, Progress

PAUSES = (1.0, 3.0, 9.0)
"""Seconds between tries that bring nothing: there is one try more than pauses."""

LONGEST_PAUSE = 60.0
"""A server that asks for more than these seconds is given up."""

_BUSY = {408, 429, 500, 502, 503, 504}


class BusyError(Exception):
    """The server says: not now.

    Attributes:
        pause: seconds that it asks to wait, if it says.
    """

    def __init__(self, what: str, pause: float | None) -> None:
        super().__init__(what)
        self.pause = pause


class Patience:
    """Growing pauses, until they are used up."""

    def __init__(self, progress: Progress = SILENT) -> None:
        self._progress = progress
        self._used = 0

    def renew(self) -> None:
        """A try brought something: begin with short pauses again."""
        self._used = 0

    def wait(self, why: str, asked: float | None = None) -> bool:
        """Pause before another try; ``False`` at once when there shall be none.

        Args:
            why: what went wrong, for the line that tells of the pause.
            asked: seconds that the server asks for.
        """
        if self._used == len(PAUSES) or (asked or 0.0) > LONGEST_PAUSE:
            return False
        seconds = max(PAUSES[self._used], asked or 0.0)
        self._used += 1
        self._progress.say(f"{why}: trying again in {math.ceil(seconds)} s")
        time.sleep(seconds)
        return True


def require_ready(response: httpx.Response) -> None:
    """The server has time.

    Raises:
        BusyError: it has none now.
    """
    if response.status_code not in _BUSY:
        return
    answer = f"the server answers {response.status_code} {response.reason_phrase}"
    pause = _retry_after(response.headers.get("Retry-After", ""))
    if pause is not None and pause > LONGEST_PAUSE:
        answer += f" and asks to come back in {math.ceil(pause):,} s"
    raise BusyError(answer, pause)


def _retry_after(value: str) -> float | None:
    """Seconds of a ``Retry-After`` header, which is a number or a date (RFC 9110, 10.2.3)."""
    if value.strip().isdecimal():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
