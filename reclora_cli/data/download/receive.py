"""The bytes of one file over HTTP, asked for until they are whole."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from reclora_cli.data.download.certificates import refused_certificate
from reclora_cli.data.download.connection import (
    UnreachableError,
    reason,
    require_found,
    shown,
    unreachable,
)
from reclora_cli.data.download.disk import require_space
from reclora_cli.data.download.part import Part, Version
from reclora_cli.data.download.patience import BusyError, Patience, require_ready
from reclora_cli.errors import RecloraError
from reclora_cli.progress import Progress

WORTHWHILE = 1 << 20
"""A try that brings as many bytes is no failure, however it ends: pauses begin short again."""

_FIRST_BYTES = {".gz": b"\x1f\x8b", ".zip": b"PK"}
_UNSATISFIABLE = httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE


@dataclass(frozen=True)
class Receiver:
    """How one file is received.

    Attributes:
        pinned: its checksum is known and will be looked at. Without one, a beginning is gone on
            from only when the server says that its file is still the same.
    """

    client: httpx.Client
    url: str
    part: Part
    progress: Progress
    pinned: bool
    patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "patience", Patience(self.progress))

    def receive(self) -> None:
        """Receive until the file is whole.

        Raises:
            UnreachableError: the address does not give it.
            RecloraError: the connection was lost every time; what has come stays.
        """
        at_first = self.part.size
        whole = False
        while not whole:
            before = self.part.size
            try:
                whole = self._receive_once()
            except BusyError as busy:
                if not self.patience.wait(str(busy), busy.pause):
                    raise UnreachableError(str(busy), where=shown(self.url)) from None
            except httpx.TransportError as lost:
                if self.part.size == at_first or refused_certificate(lost):
                    raise unreachable(lost, self.url) from None
                self._bear(lost, self.part.size - before)
            except httpx.RequestError as error:
                raise unreachable(error, self.url) from None

    def _bear(self, lost: httpx.TransportError, brought: int) -> None:
        """Pause after a lost connection, or give up."""
        if brought >= WORTHWHILE:
            self.patience.renew()
        if not self.patience.wait(f"the connection was lost ({reason(lost)})"):
            raise RecloraError(
                f"the connection was lost after {self.part.size:,} bytes ({reason(lost)})",
                where=shown(self.url),
                hint="Run the command again: it goes on from there.",
            ) from None

    def _receive_once(self) -> bool:
        """Ask once. Returns whether the file is whole; if not, it is to be asked for again."""
        known = self.part.version()
        have = self._usable(known)
        if have and known is not None and have == known.size:
            return True
        with self.client.stream("GET", self.url, headers=self._headers(have, known)) as response:
            require_ready(response)
            answered = Version.of(response, self.url)
            if have and response.status_code == _UNSATISFIABLE:
                # Nothing is left to send, or the file is another one by now.
                return self._whole_by_length(have, answered)
            require_found(response, self.url)
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                self.part.begin(answered)
            elif not have:
                raise UnreachableError(
                    "the server sends a part of the file unasked", where=shown(self.url)
                )
            elif not _goes_on(response, have) or (known and known.contradicts(answered)):
                self.part.drop()
                return False
            self._write(response, answered.size)
        if answered.size is not None and self.part.size < answered.size:
            raise httpx.RemoteProtocolError("the server sent less than it announced")
        return True

    def _usable(self, known: Version | None) -> int:
        """Bytes of the beginning that may be gone on from."""
        if self.pinned:
            return self.part.size
        if known is None or known.url != self.url or not (known.etag or known.modified):
            return 0
        return self.part.size

    def _whole_by_length(self, have: int, answered: Version) -> bool:
        if self.pinned and answered.size in {None, have}:
            return True
        self.part.drop()
        return False

    def _headers(self, have: int, known: Version | None) -> dict[str, str]:
        # What is kept is what was published: no encoding for the way.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if known is not None and known.url == self.url and known.condition:
                headers["If-Range"] = known.condition
        return headers

    def _write(self, response: httpx.Response, total: int | None) -> None:
        have, name = self.part.size, self.part.target.name
        require_space(self.part.path.parent, (total or 0) - have, name)
        with (
            self.part.path.open("ab") as file,
            self.progress.task(f"fetch {name}", total, "bytes") as task,
        ):
            if have:
                task.advance(have)
            for piece in response.iter_raw():
                if not (have or self.pinned):
                    require_kind(piece, self.part, self.url)
                file.write(piece)
                have += len(piece)
                task.advance(len(piece))


def require_kind(begin: bytes, part: Part, url: str) -> None:
    """Where no checksum is known: at least a log-in page is not taken for an archive.

    Raises:
        UnreachableError: ``begin`` is not how such a file begins; the part is dropped.
    """
    expected = _FIRST_BYTES.get(part.target.suffix, b"")
    if begin[: len(expected)] != expected[: len(begin)]:
        part.drop()
        raise UnreachableError(
            f"what comes is no {part.target.suffix} file: it begins with {begin[:16]!r}",
            where=shown(url),
        )


def _goes_on(response: httpx.Response, have: int) -> bool:
    """Whether the server sends from byte ``have`` on."""
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
