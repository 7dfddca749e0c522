"""The beginning of a download, kept to go on from.

``NAME.part`` holds the bytes, ``NAME.part.json`` says of which state of which file they are.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from reclora_cli.workspace import write_json


@dataclass(frozen=True)
class Version:
    """What tells one state of a file on a server from another.

    Attributes:
        url: where it was asked for.
        etag: the server's name of this state; empty when it gives none.
        modified: its ``Last-Modified``; empty when it gives none.
        size: bytes of the whole file, if the server says.
    """

    url: str
    etag: str = ""
    modified: str = ""
    size: int | None = None

    @classmethod
    def of(cls, response: httpx.Response, url: str) -> Version:
        """What ``response``, to a request for ``url``, says of the file."""
        headers = response.headers
        return cls(url, headers.get("ETag", ""), headers.get("Last-Modified", ""), _size(response))

    def contradicts(self, other: Version) -> bool:
        """Whether the two cannot be the same state of the file."""
        pairs = (
            (self.etag, other.etag),
            (self.modified, other.modified),
            (self.size, other.size),
        )
        return any(mine and its and mine != its for mine, its in pairs)

    @property
    def condition(self) -> str:
        """Value for ``If-Range``: a strong ETag or a date (RFC 9110, 13.1.5); may be empty."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class Part:
    """What has come of the file that will be ``target``."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self) -> Version | None:
        """What it is the beginning of, where that was noted."""
        try:
            return Version(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def begin(self, version: Version) -> None:
        """Start over with the first byte of ``version``."""
        self.drop()
        write_json(self._note, asdict(version))

    def drop(self) -> None:
        """Forget what has come."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        """It is whole and verified: give it its name."""
        self.path.replace(self.target)
        self._note.unlink(missing_ok=True)


def _size(response: httpx.Response) -> int | None:
    """Bytes of the whole file, also from an answer that sends a part of it."""
    if response.status_code in {httpx.codes.PARTIAL_CONTENT, 416}:
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
        return int(total) if total.isdecimal() else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None
