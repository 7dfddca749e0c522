"""Plain files under one address: each by itself, and none twice."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reclora_cli.data.download import downloads_folder, patience
from reclora_cli.data.download import fetch as fetch_asking
from reclora_cli.data.sources import ml_1m
from reclora_cli.data.sources.base import FilesAddress, Source
from reclora_cli.errors import CheckError, MissingInputError, RecloraError
from tests.unit.file_server import FileServer, serving

NAMES = ("interactions.json.gz", "books.json.gz", "authors.json.gz")
FILES = {
    name: gzip.compress(random.Random(name).randbytes(30_000), compresslevel=1, mtime=0)
    for name in NAMES
}


def fetch(source: Source) -> Path:
    return fetch_asking(source, confirm=lambda _: True)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(patience, "PAUSES", (0.01, 0.01, 0.01))
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as state:
        for name, content in FILES.items():
            state.files[f"/books/{name}"] = content
            state.headers[f"/books/{name}"] = {"ETag": f'"{name}"'}
        yield state


def _source(url: str) -> Source:
    return replace(
        ml_1m.SOURCE,
        name="books",
        files=dict.fromkeys(NAMES, ()),
        addresses=(FilesAddress(f"{url}/books/"),),
    )


@pytest.fixture
def source(server: FileServer) -> Source:
    return _source(server.url)


def _contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in NAMES}


def test_files_are_fetched_one_by_one(source: Source, server: FileServer) -> None:
    folder = fetch(source)
    assert _contents(folder) == FILES
    assert [path for path, _ in server.asked] == [f"/books/{name}" for name in NAMES]
    assert {file.name for file in folder.iterdir()} == {*NAMES, "fetched.json"}
    assert list(downloads_folder().glob(".books.f*")) == []


def test_second_time_nothing_is_asked_of_the_network(source: Source, server: FileServer) -> None:
    fetch(source)
    server.asked.clear()
    fetch(source)
    assert server.asked == []


def test_finished_file_is_not_fetched_again(source: Source, server: FileServer) -> None:
    server.cut_after["/books/books.json.gz"], server.cuts = 1000, 4
    with pytest.raises(RecloraError, match="lost after 4,000 bytes"):
        fetch(source)
    assert not (downloads_folder() / "books").exists()
    server.asked.clear()
    assert _contents(fetch(source)) == FILES
    assert server.asked == [
        ("/books/books.json.gz", "bytes=4000-"),
        ("/books/authors.json.gz", None),
    ]


_FETCH = """
import sys
from tests.unit.test_download_files import _source, fetch
fetch(_source(sys.argv[1]))
"""


def test_killed_with_kill_9_the_same_command_goes_on(source: Source, server: FileServer) -> None:
    server.stall["/books/books.json.gz"], server.stall_at = 60, 9_000
    process = subprocess.Popen(
        [sys.executable, "-c", _FETCH, server.url],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    half = downloads_folder() / ".books.fetching" / "files" / "books.json.gz.part"
    deadline = time.monotonic() + 60
    while not (half.is_file() and half.stat().st_size > 0):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    had = half.stat().st_size
    assert not (downloads_folder() / "books").exists()
    server.stall.clear()
    server.asked.clear()
    assert _contents(fetch(source)) == FILES
    assert server.asked == [
        ("/books/books.json.gz", f"bytes={had}-"),
        ("/books/authors.json.gz", None),
    ]


def test_only_the_missing_file_is_fetched_of_those_that_are_kept(
    source: Source, server: FileServer
) -> None:
    folder = fetch(source)
    (folder / "books.json.gz").unlink()
    server.asked.clear()
    assert _contents(fetch(source)) == FILES
    assert server.asked == [("/books/books.json.gz", None)]


def test_pinned_file_is_verified_and_the_others_are_kept(
    source: Source, server: FileServer
) -> None:
    pinned = {name: (hashlib.sha256(FILES[name]).hexdigest(),) for name in NAMES}
    strict = replace(source, files=pinned)
    server.files["/books/books.json.gz"] = FILES["books.json.gz"][:-1] + b"!"
    with pytest.raises(CheckError, match="wrong checksum: expected sha256"):
        fetch(strict)
    server.files["/books/books.json.gz"] = FILES["books.json.gz"]
    server.asked.clear()
    assert _contents(fetch(strict)) == FILES
    assert ("/books/interactions.json.gz", None) not in server.asked


def test_log_in_page_in_place_of_a_file_is_refused(source: Source, server: FileServer) -> None:
    server.files["/books/books.json.gz"] = b"<html>please log in</html>"
    with pytest.raises(MissingInputError, match=r"what comes is no \.gz file"):
        fetch(source)


def test_next_address_is_asked_for_what_one_does_not_have(
    source: Source, server: FileServer
) -> None:
    two = replace(source, addresses=(*source.addresses, FilesAddress(f"{server.url}/mirror")))
    server.files["/mirror/authors.json.gz"] = server.files.pop("/books/authors.json.gz")
    assert _contents(fetch(two)) == FILES
    assert sum("books.json.gz" in path for path, _ in server.asked) == 1


def test_room_for_all_files_is_looked_for_before_the_first(
    source: Source, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_fit = type("Usage", (), {"free": 70_000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: two_fit)
    with pytest.raises(RecloraError, match="are free"):
        fetch(source)
    assert server.headed == [f"/books/{name}" for name in NAMES]
    assert server.asked == []


def test_server_that_tells_no_sizes_is_asked_all_the_same(
    source: Source, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        server.headers[f"/books/{name}"]["Content-Length"] = ""
    assert _contents(fetch(source)) == FILES
