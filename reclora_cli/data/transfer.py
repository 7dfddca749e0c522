"""One file from one address: resumed when cut off, verified before it gets its name.

A download grows in ``NAME.part`` and is renamed to ``NAME`` only after its checksum held, so a
half file is never taken for a whole one.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from reclora_cli.errors import CheckError, MissingInputError, RecloraError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.workspace import explain_os_errors, hash_file

ATTEMPTS = 3
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0


class UnreachableError(MissingInputError):
    """An address does not give the file; another one may."""


@dataclass(frozen=True)
class Checksum:
    """What a file must hash to.

    Attributes:
        algorithm: as ``hashlib`` names it.
        value: lower-case hex digest.
    """

    algorithm: str
    value: str

    def require(self, file: Path, where: str) -> None:
        """Remove ``file`` and raise when it hashes to something else.

        Raises:
            CheckError: it does.
        """
        found = hash_file(file, self.algorithm)
        if found != self.value:
            file.unlink()
            raise CheckError(
                f"wrong checksum: expected {self.algorithm} {self.value}, got {found}",
                where=where,
                hint="The file was removed. Run the command again, or give the files with --from.",
            )


def fetch_file(
    url: str,
    target: Path,
    checksum: Checksum,
    progress: Progress = SILENT,
    *,
    certificates: str | None = None,
) -> Path:
    """Fetch ``url`` into ``target``, going on from an earlier ``.part`` when there is one.

    Args:
        url: ``https:``, ``http:`` or ``file:``.
        target: where the verified file will lie; returned.
        checksum: of the whole file.
        progress: told how much has come.
        certificates: CA bundle to trust; default: as httpx does (``SSL_CERT_FILE`` is respected).

    Raises:
        UnreachableError: the address does not answer, or has no such file.
        RecloraError: the connection was lost every time; what has come is kept for the next try.
        CheckError: the file is whole but wrong; it was removed.
    """
    part = target.with_name(target.name + ".part")
    resumed = part.exists()
    try:
        _fetch_part(url, part, progress, certificates)
        checksum.require(part, shown(url))
    except CheckError:
        if not resumed:
            raise
        _fetch_part(url, part, progress, certificates)  # the old beginning was of another file
        checksum.require(part, shown(url))
    part.replace(target)
    return target


def fetch_text(url: str, *, certificates: str | None = None, accept: str = "*/*") -> str:
    """The text behind ``url``.

    Raises:
        UnreachableError: the address does not answer, or has no such page.
    """
    with _client(url, certificates) as client:
        try:
            response = client.get(url, headers={"Accept": accept})
        except httpx.HTTPError as error:
            raise UnreachableError(_reason(error), where=shown(url)) from None
        _require_found(response, url)
        return response.text


def shown(url: str) -> str:
    """``url`` without user name and password, for messages."""
    parts = urlsplit(url)
    if not parts.hostname:
        return url
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=parts.hostname + port).geturl()


def local_path(url: str) -> Path:
    """The path that a ``file:`` address names."""
    return Path(urllib.request.url2pathname(unquote(urlsplit(url).path)))


def _fetch_part(url: str, part: Path, progress: Progress, certificates: str | None) -> None:
    with explain_os_errors(part.parent):
        part.parent.mkdir(parents=True, exist_ok=True)
        if urlsplit(url).scheme == "file":
            _copy(url, part)
            return
        with _client(url, certificates) as client:
            _receive_all(client, url, part, progress)


def _copy(url: str, part: Path) -> None:
    source = local_path(url)
    if not source.is_file():
        raise UnreachableError("no such file", where=url)
    shutil.copyfile(source, part)


def _receive_all(client: httpx.Client, url: str, part: Path, progress: Progress) -> None:
    """Receive until the server says that the file is whole; go on after a lost connection."""
    lost: httpx.HTTPError | None = None
    for _ in range(ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            _receive(client, url, part, progress)
            return
        except httpx.TransportError as error:
            lost = error
            if not part.exists() or part.stat().st_size == before:
                break
    assert lost is not None
    size = part.stat().st_size if part.exists() else 0
    if size == 0:
        raise UnreachableError(_reason(lost), where=shown(url))
    raise RecloraError(
        f"the connection was lost after {size:,} bytes ({_reason(lost)})",
        where=shown(url),
        hint="Run the command again: it goes on from there.",
    )


def _receive(client: httpx.Client, url: str, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is left to send: the checksum decides
        _require_found(response, url)
        goes_on = _goes_on(response, have)
        length = int(response.headers.get("Content-Length", 0)) or None
        title = f"fetch {Path(urlsplit(url).path).name}"
        with (
            part.open("ab" if goes_on else "wb") as file,
            progress.task(title, length, "bytes") as task,
        ):
            for piece in response.iter_raw():
                file.write(piece)
                task.advance(len(piece))


def _goes_on(response: httpx.Response, have: int) -> bool:
    """Whether the server sends from byte ``have`` on, and not the whole file."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return False
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _require_found(response: httpx.Response, url: str) -> None:
    if response.is_error:
        raise UnreachableError(
            f"the server answers {response.status_code} {response.reason_phrase}", where=shown(url)
        )


@contextmanager
def _client(url: str, certificates: str | None) -> Iterator[httpx.Client]:
    """A client for ``url`` that fails fast when its host cannot be found."""
    host = urlsplit(url).hostname or ""
    if not _behind_proxy(url, host) and not _resolves(host):
        raise UnreachableError(
            f"{host} cannot be found: no network, or no such name", where=shown(url)
        )
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    try:
        trust = ssl.create_default_context(cafile=certificates) if certificates else True
        client = httpx.Client(timeout=timeout, follow_redirects=True, verify=trust)
    except (OSError, ssl.SSLError) as error:
        place = certificates or "SSL_CERT_FILE"
        raise UnreachableError(
            f"the CA certificates cannot be read ({error})", where=place
        ) from None
    with client:
        yield client


def _behind_proxy(url: str, host: str) -> bool:
    proxies = urllib.request.getproxies()
    used = urlsplit(url).scheme in proxies or "all" in proxies
    return used and not urllib.request.proxy_bypass(host)


def _resolves(host: str) -> bool:
    """Whether ``host`` has an address; a look-up has no timeout, so it runs in a thread."""
    found: list[bool] = []

    def look_up() -> None:
        try:
            socket.getaddrinfo(host, None)
        except (OSError, UnicodeError):
            found.append(False)
        else:
            found.append(True)

    attempt = threading.Thread(target=look_up, daemon=True)
    attempt.start()
    attempt.join(CONNECT_SECONDS)
    return found == [True]


def _reason(error: httpx.HTTPError) -> str:
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            f"its TLS certificate cannot be verified ({text}); if this network inspects TLS, "
            "name its CA bundle in SSL_CERT_FILE"
        )
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:g} s"
    return text
