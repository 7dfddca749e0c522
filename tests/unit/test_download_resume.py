"""A file of which no checksum is known: gone on with only while it is surely the same."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from reclora_cli.data.download import patience
from reclora_cli.data.download.connection import UnreachableError
from reclora_cli.data.download.transfer import fetch_file
from reclora_cli.errors import RecloraError
from reclora_cli.progress import SilentProgress
from tests.unit.file_server import FileServer, serving

PACKED = gzip.compress(bytes(range(256)) * 99, mtime=0)
OTHER = gzip.compress(bytes(range(255)) * 999, mtime=1)


class Listener(SilentProgress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES", (0.01, 0.02, 0.04))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as state:
        state.files["/books.gz"] = PACKED
        state.headers["/books.gz"] = {"ETag": '"one"'}
        yield state


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """Where ``/books.gz`` of the server is fetched to."""
    return tmp_path / "books.gz"


def _half(server: FileServer, books: Path) -> None:
    """Let the connection be lost in the middle."""
    server.cut_after["/books.gz"], server.cuts = 20, 99
    with pytest.raises(RecloraError, match="connection was lost"):
        fetch_file(f"{server.url}/books.gz", books, None)
    server.cuts = 0
    server.asked.clear()


def test_beginning_is_gone_on_from_while_the_file_is_the_same(
    server: FileServer, books: Path
) -> None:
    _half(server, books)
    fetch_file(f"{server.url}/books.gz", books, None)
    assert books.read_bytes() == PACKED
    assert server.asked == [("/books.gz", "bytes=80-")]
    assert server.sent[-1]["If-Range"] == '"one"'
    assert list(books.parent.iterdir()) == [books]


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"two"'},
        {"ETag": 'W/"two"'},
        {"Last-Modified": "Tue, 06 Jan 2026 10:00:00 GMT"},
    ],
)
def test_file_that_changed_meanwhile_is_fetched_from_its_first_byte(
    server: FileServer, books: Path, headers: dict[str, str]
) -> None:
    _half(server, books)
    server.files["/books.gz"], server.headers["/books.gz"] = OTHER, headers
    fetch_file(f"{server.url}/books.gz", books, None)
    assert books.read_bytes() == OTHER


def test_changed_file_is_noticed_though_the_server_knows_no_conditions(
    server: FileServer, books: Path
) -> None:
    server.headers["/books.gz"] = {"ETag": 'W/"one"'}
    _half(server, books)
    server.files["/books.gz"], server.headers["/books.gz"] = OTHER, {"ETag": 'W/"two"'}
    fetch_file(f"{server.url}/books.gz", books, None)
    assert server.asked == [("/books.gz", "bytes=80-"), ("/books.gz", None)]
    assert books.read_bytes() == OTHER


def test_file_that_shrank_meanwhile_is_fetched_from_its_first_byte(
    server: FileServer, books: Path
) -> None:
    _half(server, books)
    server.files["/books.gz"] = PACKED[:70]
    fetch_file(f"{server.url}/books.gz", books, None)
    assert books.read_bytes() == PACKED[:70]


def test_beginning_of_which_nothing_is_known_is_dropped(server: FileServer, books: Path) -> None:
    server.headers["/books.gz"] = {}
    _half(server, books)
    fetch_file(f"{server.url}/books.gz", books, None)
    assert server.asked == [("/books.gz", None)]
    assert books.read_bytes() == PACKED


def test_whole_beginning_is_not_asked_for_again(server: FileServer, books: Path) -> None:
    _half(server, books)
    (books.parent / "books.gz.part").write_bytes(PACKED)
    fetch_file(f"{server.url}/books.gz", books, None)
    assert server.asked == []
    assert books.read_bytes() == PACKED


def test_silently_short_transfer_is_noticed(server: FileServer, books: Path) -> None:
    """The server closes the connection early, and says only in its range how long the file is."""
    _half(server, books)
    total = len(PACKED)
    server.headers["/books.gz"] |= {
        "Content-Length": "",
        "Content-Range": f"bytes 80-{total - 1}/{total}",
    }
    server.cuts = 1
    listener = Listener()
    fetch_file(f"{server.url}/books.gz", books, None, listener)
    assert "less than it announced" in listener.said[0]
    assert books.read_bytes() == PACKED


def test_announced_length_that_never_comes_is_an_error(server: FileServer, books: Path) -> None:
    server.headers["/books.gz"] |= {"Content-Length": str(len(PACKED) + 10)}
    with pytest.raises(RecloraError, match="connection was lost"):
        fetch_file(f"{server.url}/books.gz", books, None)
    assert not books.exists()


def test_log_in_page_is_not_taken_for_an_archive(server: FileServer, books: Path) -> None:
    server.files["/books.gz"] = b"<!DOCTYPE html><title>please log in"
    with pytest.raises(UnreachableError, match=r"no \.gz file: it begins with b'<!DOCTYPE html"):
        fetch_file(f"{server.url}/books.gz", books, None)
    assert list(books.parent.iterdir()) == []


def test_part_that_nobody_asked_for_is_refused(server: FileServer, books: Path) -> None:
    server.answers = [(206, {"Content-Range": "bytes 5-9/10"})]
    with pytest.raises(UnreachableError, match="unasked"):
        fetch_file(f"{server.url}/books.gz", books, None)


def test_refused_range_that_nobody_asked_for_is_an_error(server: FileServer, books: Path) -> None:
    server.answers = [(416, {})] * 9
    with pytest.raises(UnreachableError, match="416"):
        fetch_file(f"{server.url}/books.gz", books, None)
