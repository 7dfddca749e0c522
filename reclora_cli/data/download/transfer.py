"""One file from one address: resumed when cut off, verified before it gets its name.

A download grows in ``NAME.part`` and is renamed to ``NAME`` only after its checksum held (or, where
none is known, its length and its first bytes), so a half file is never taken for a whole one.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from reclora_cli.data.download.connection import (
    UnreachableError,
    client_for,
    local_path,
    require_found,
    shown,
    unreachable,
)
from reclora_cli.data.download.disk import require_space
from reclora_cli.data.download.part import Part, Version
from reclora_cli.data.download.patience import BusyError, Patience, require_ready
from reclora_cli.data.download.receive import Receiver, require_kind
from reclora_cli.errors import CheckError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.workspace import explain_os_errors, hash_file


@dataclass(frozen=True)
class Checksum:
    """What a file must hash to.

    Attributes:
        algorithm: as ``hashlib`` names it.
        values: lower-case hex digests, any of which is right.
    """

    algorithm: str
    values: tuple[str, ...]

    def holds(self, file: Path) -> bool:
        """Whether the file is there and hashes to one of the values."""
        return file.is_file() and hash_file(file, self.algorithm) in self.values

    def require(self, file: Path, where: str) -> None:
        """The file hashes to one of the values.

        Raises:
            CheckError: it does not.
        """
        found = hash_file(file, self.algorithm)
        if found not in self.values:
            raise CheckError(
                f"wrong checksum: expected {self.algorithm} {self.values[0]}, got {found}",
                where=where,
                hint="The file was removed. Run the command again, or give the files with --from.",
            )


def fetch_file(
    url: str,
    target: Path,
    checksum: Checksum | None,
    progress: Progress = SILENT,
    *,
    certificates: str | None = None,
) -> Path:
    """Fetch ``url`` into ``target``, going on from an earlier ``.part`` when there is one.

    A ``target`` that is there already and has the checksum is not fetched again.

    Args:
        url: ``https:``, ``http:`` or ``file:``.
        target: where the verified file will lie; returned.
        checksum: of the whole file; ``None`` where none is published: then its length and its
            first bytes are looked at.
        progress: told how much has come of how much.
        certificates: CA bundle to trust; default: as httpx does (``SSL_CERT_FILE`` is respected).

    Raises:
        UnreachableError: the address does not answer, or has no such file.
        RecloraError: the connection was lost every time, and what has come is kept for the next
            try; or the disk is full.
        CheckError: the file is whole but wrong; it was removed.
    """
    if checksum is not None and checksum.holds(target):
        return target
    part = Part(target)
    resumed = part.size > 0
    with explain_os_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _fetch_verified(url, part, checksum, progress, certificates)
        except CheckError:
            if not resumed:
                raise
            # The old beginning was of another file.
            _fetch_verified(url, part, checksum, progress, certificates)
        part.finish()
    return target


def fetch_text(
    url: str,
    progress: Progress = SILENT,
    *,
    certificates: str | None = None,
    accept: str = "*/*",
) -> str:
    """The text behind ``url``.

    Raises:
        UnreachableError: the address does not answer, or has no such page.
    """
    patience = Patience(progress)
    with client_for(url, certificates) as client:
        while True:
            try:
                response = client.get(url, headers={"Accept": accept})
                require_ready(response)
            except BusyError as busy:
                if not patience.wait(str(busy), busy.pause):
                    raise UnreachableError(str(busy), where=shown(url)) from None
            except httpx.HTTPError as error:
                raise unreachable(error, url) from None
            else:
                require_found(response, url)
                return response.text


def remote_size(url: str) -> int | None:
    """Bytes of the file behind ``url``, if the server says so without sending it."""
    if urlsplit(url).scheme == "file":
        path = local_path(url)
        return path.stat().st_size if path.is_file() else None
    try:
        with client_for(url, None) as client:
            response = client.head(url, headers={"Accept-Encoding": "identity"})
    except (httpx.HTTPError, UnreachableError):
        return None  # the download itself will tell why
    return None if response.is_error else Version.of(response, url).size


def _fetch_verified(
    url: str, part: Part, checksum: Checksum | None, progress: Progress, certificates: str | None
) -> None:
    if urlsplit(url).scheme == "file":
        _copy(url, part)
    else:
        with client_for(url, certificates) as client:
            Receiver(client, url, part, progress, pinned=checksum is not None).receive()
    if checksum is None:
        with part.path.open("rb") as file:
            require_kind(file.read(2), part, url)
        return
    try:
        checksum.require(part.path, shown(url))
    except CheckError:
        part.drop()
        raise


def _copy(url: str, part: Part) -> None:
    source = local_path(url)
    if not source.is_file():
        raise UnreachableError("no such file", where=url)
    require_space(part.path.parent, source.stat().st_size, source.name)
    shutil.copyfile(source, part.path)
