"""Connections to servers: fast to fail, never without a verified certificate."""

from __future__ import annotations

import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from reclora_cli.data.download import certificates as tls
from reclora_cli.errors import MissingInputError

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0


class UnreachableError(MissingInputError):
    """An address does not give the file; another one may."""

    @property
    def brief(self) -> str:
        """Place and reason on one line, for a list of places that were tried."""
        return f"{self.where}: {self.what}" if self.where else self.what


@contextmanager
def client_for(url: str, certificates: str | None) -> Iterator[httpx.Client]:
    """A client for ``url`` that fails fast when its host cannot be found.

    Args:
        url: ``https:`` or ``http:``.
        certificates: CA bundle to trust; default: as httpx does (``SSL_CERT_FILE`` is respected).

    Raises:
        UnreachableError: no such host, or the CA bundle cannot be read.
    """
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


def unreachable(error: httpx.HTTPError, url: str) -> UnreachableError:
    """What became of a connection, as an error that another address may mend."""
    refusal = tls.refused_certificate(error)
    if refusal is None:
        return UnreachableError(reason(error), where=shown(url))
    what, hint = tls.explain(refusal)
    return UnreachableError(what, where=shown(url), hint=hint)


def reason(error: httpx.HTTPError) -> str:
    """What became of a connection, in words."""
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:g} s"
    if isinstance(error, httpx.ReadTimeout):
        return f"nothing came for {READ_SECONDS:g} s"
    return str(error) or type(error).__name__


def require_found(response: httpx.Response, url: str) -> None:
    """The server gives what was asked for, and over a connection as safe as it was asked for.

    Raises:
        UnreachableError: it does not.
    """
    if response.is_error:
        raise UnreachableError(
            f"the server answers {response.status_code} {response.reason_phrase}", where=shown(url)
        )
    hops = [shown(str(hop.url)) for hop in (*response.history, response)]
    plain = [hop for hop in hops if urlsplit(hop).scheme != "https"]
    if plain and urlsplit(url).scheme == "https":
        raise UnreachableError(
            f"refused: it leads from https to {plain[0]}, which anyone on the way can change",
            where=shown(url),
        )


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
