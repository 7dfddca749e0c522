"""Where the package index that pip is set up with keeps a distribution file.

The simple repository API (PEP 503) is one HTML page of links for each project. pip's own
settings say which indexes and link pages to look at, so mirrors and local folders work as they
do for pip. Nothing is installed and nothing of a package is run.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from reclora_cli.data.download.connection import UnreachableError, local_path, shown
from reclora_cli.data.download.transfer import fetch_text

PYPI = "https://pypi.org/simple"
_SECTIONS = (":env:", "download", "install", "global")
_ACCEPT = "application/vnd.pypi.simple.v1+html, text/html;q=0.2"
_SCHEMES = ("http", "https", "file")


@dataclass(frozen=True)
class PipSettings:
    """Where pip looks.

    Attributes:
        indexes: addresses of simple repositories.
        find_links: folders, or addresses of pages with links.
        certificates: CA bundle pip trusts, if it is told one.
    """

    indexes: tuple[str, ...] = (PYPI,)
    find_links: tuple[str, ...] = ()
    certificates: str | None = None


def pip_settings() -> PipSettings:
    """pip's settings from its configuration files and ``PIP_*`` variables."""
    return parse_settings(_pip_config())


def parse_settings(lines: str) -> PipSettings:
    """Settings from what ``pip config list`` prints: lines like ``global.index-url='...'``."""
    values = dict(_setting(line) for line in lines.splitlines() if "=" in line)

    def words(key: str) -> tuple[str, ...]:
        found = (values.get(f"{section}.{key}") for section in _SECTIONS)
        return tuple(next((value for value in found if value), "").split())

    main = (
        ()
        if words("no-index")[:1] in {("1",), ("true",), ("yes",)}
        else words("index-url") or (PYPI,)
    )
    return PipSettings(
        indexes=main + (words("extra-index-url") if main else ()),
        find_links=words("find-links"),
        certificates=next(iter(words("cert")), None),
    )


def find_distribution(project: str, filename: str, settings: PipSettings) -> Iterator[str]:
    """Addresses of ``filename``, in the order in which pip would look.

    Raises:
        UnreachableError: none of the places has it; each is named with its answer.
    """
    answers: list[str] = []
    found = False
    for place in _pages(project, settings):
        try:
            for url in _links(place, settings.certificates):
                if _same_file(url, filename):
                    found = True
                    yield url
                    break
            else:
                answers.append(f"{shown(place)} does not list it")
        except UnreachableError as error:
            answers.append(error.brief)
    if not found:
        raise UnreachableError("; ".join(answers) or "pip is told to use no index", where=filename)


def _pages(project: str, settings: PipSettings) -> Iterator[str]:
    yield from settings.find_links
    name = re.sub(r"[-_.]+", "-", project).lower()
    for index in settings.indexes:
        yield f"{index.rstrip('/')}/{name}/"


def _links(place: str, certificates: str | None) -> list[str]:
    """Addresses of the files that a folder holds or a page links to."""
    scheme = urlsplit(place).scheme
    if scheme in {"http", "https"}:
        return _anchors(fetch_text(place, certificates=certificates, accept=_ACCEPT), place)
    path = local_path(place) if scheme == "file" else Path(place).expanduser()
    page = path / "index.html" if path.is_dir() else path
    if page.is_file():
        return _anchors(page.read_text(encoding="utf-8"), page.resolve().as_uri())
    if not path.is_dir():
        raise UnreachableError("no such folder", where=shown(place))
    return [file.resolve().as_uri() for file in path.iterdir() if file.is_file()]


class _AnchorParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target:
            self.targets.append(target)


def _anchors(page: str, base: str) -> list[str]:
    parser = _AnchorParser()
    parser.feed(page)
    targets = (urldefrag(urljoin(base, target)).url for target in parser.targets)
    return [target for target in targets if urlsplit(target).scheme in _SCHEMES]


def _same_file(url: str, filename: str) -> bool:
    """Whether ``url`` names ``filename``; indexes differ in ``-``, ``_`` and ``.``."""

    def plain(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    return plain(PurePosixPath(unquote(urlsplit(url).path)).name) == plain(filename)


def _setting(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    try:
        return key.strip(), str(ast.literal_eval(value))
    except (ValueError, SyntaxError):
        return key.strip(), value.strip()


def _pip_config() -> str:
    """What ``pip config list`` prints; without pip, the ``PIP_*`` variables in the same form."""
    command = [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout
    except (OSError, subprocess.SubprocessError):
        return _from_environment(os.environ)


def _from_environment(environment: Mapping[str, str]) -> str:
    names = ("index-url", "extra-index-url", "find-links", "no-index", "cert")
    pairs = ((name, environment.get(f"PIP_{name.upper().replace('-', '_')}")) for name in names)
    return "\n".join(f":env:.{name}={value!r}" for name, value in pairs if value)
