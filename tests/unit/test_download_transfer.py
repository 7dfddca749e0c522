"""One file from one address: whole and verified, or not there at all."""

from __future__ import annotations

import errno
import gzip
import hashlib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from reclora_cli.data.download import connection, patience, receive
from reclora_cli.data.download.connection import UnreachableError, shown
from reclora_cli.data.download.transfer import Checksum, fetch_file, fetch_text, remote_size
from reclora_cli.errors import CheckError, RecloraError
from reclora_cli.progress import SilentProgress
from tests.unit.file_server import FileServer, serving

CONTENT = bytes(range(256)) * 400
RIGHT = Checksum("sha256", (hashlib.sha256(CONTENT).hexdigest(),))
PACKED = gzip.compress(bytes(range(256)) * 99, mtime=0)


class Listener(SilentProgress):
    """Keeps what was said, and the tasks with their totals and what was done of them."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.tasks: list[tuple[str, int | None, list[int]]] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: str = "") -> Iterator[Any]:
        done: list[int] = []
        self.tasks.append((title, total, done))
        with super().task(title, total, unit) as task:
            task.advance = lambda amount=1, **_: done.append(amount)  # type: ignore[method-assign]
            yield task


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES", (0.01, 0.02, 0.04))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as state:
        state.files["/file.zip"] = CONTENT
        yield state


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "file.zip"


def test_file_is_fetched_and_verified(server: FileServer, target: Path) -> None:
    assert fetch_file(f"{server.url}/file.zip", target, RIGHT) == target
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_download_goes_on_from_what_an_earlier_one_left(server: FileServer, target: Path) -> None:
    (target.parent / "file.zip.part").write_bytes(CONTENT[:1000])
    fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert target.read_bytes() == CONTENT
    assert server.asked == [("/file.zip", "bytes=1000-")]


def test_lost_connection_is_taken_up_again_in_the_same_call(
    server: FileServer, target: Path
) -> None:
    server.cut_after["/file.zip"], server.cuts = 30_000, 2
    fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert target.read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=30000-", "bytes=60000-"]


def test_connection_lost_again_and_again_keeps_the_part_and_says_so(
    server: FileServer, target: Path
) -> None:
    server.cut_after["/file.zip"], server.cuts = 1_000, 99
    with pytest.raises(RecloraError, match="lost after 4,000 bytes") as caught:
        fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert "it goes on from there" in str(caught.value.hint)
    assert not target.exists()
    assert (target.parent / "file.zip.part").read_bytes() == CONTENT[:4_000]


def test_server_without_ranges_sends_it_whole_again(server: FileServer, target: Path) -> None:
    server.ranges = False
    (target.parent / "file.zip.part").write_bytes(b"something else")
    fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert target.read_bytes() == CONTENT


def test_whole_part_needs_no_more_bytes(server: FileServer, target: Path) -> None:
    (target.parent / "file.zip.part").write_bytes(CONTENT)
    fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert target.read_bytes() == CONTENT


def test_part_of_another_file_is_dropped_and_fetched_anew(server: FileServer, target: Path) -> None:
    (target.parent / "file.zip.part").write_bytes(b"x" * 1000)
    fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert target.read_bytes() == CONTENT


def test_wrong_checksum_removes_the_file_and_exits_with_4(server: FileServer, target: Path) -> None:
    server.files["/file.zip"] = CONTENT[:-1] + b"!"
    with pytest.raises(CheckError, match="wrong checksum: expected sha256") as caught:
        fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert caught.value.exit_code == 4
    assert list(target.parent.iterdir()) == []


def test_missing_file_is_unreachable(server: FileServer, target: Path) -> None:
    with pytest.raises(UnreachableError, match="404"):
        fetch_file(f"{server.url}/other.zip", target, RIGHT)
    assert list(target.parent.iterdir()) == []


def test_closed_port_is_unreachable(server: FileServer, target: Path) -> None:
    with pytest.raises(UnreachableError):
        fetch_file("http://127.0.0.1:9/file.zip", target, RIGHT)


def test_unknown_host_is_told_within_the_limit(target: Path) -> None:
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="cannot be found: no network, or no such name"):
        fetch_file("https://no-such-host.invalid/file.zip", target, RIGHT)
    assert time.monotonic() - started < connection.CONNECT_SECONDS + 1


def test_name_look_up_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(connection.socket, "getaddrinfo", lambda *_: time.sleep(2))
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="cannot be found"):
        fetch_file("https://slow.invalid/file.zip", target, RIGHT)
    assert time.monotonic() - started < 1


def test_every_connection_verifies_certificates(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Any] = []
    make = httpx.Client

    def client(*arguments: Any, **options: Any) -> httpx.Client:
        used.append(options["verify"])
        return make(*arguments, **options)

    monkeypatch.setattr(connection.httpx, "Client", client)
    fetch_file(f"{server.url}/file.zip", target, RIGHT)
    bundle = ssl.get_default_verify_paths().cafile or __import__("certifi").where()
    fetch_text(f"{server.url}/file.zip", certificates=bundle)
    assert used[0] is True
    assert used[1].verify_mode == ssl.CERT_REQUIRED


def test_unreadable_ca_bundle_is_named(server: FileServer) -> None:
    with pytest.raises(UnreachableError, match="CA certificates cannot be read") as caught:
        fetch_text(f"{server.url}/file.zip", certificates="/nowhere/ca.pem")
    assert caught.value.where == "/nowhere/ca.pem"


def test_full_disk_is_a_clear_error(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(receive.Receiver, "_write", full)
    with pytest.raises(RecloraError, match="the disk is full"):
        fetch_file(f"{server.url}/file.zip", target, RIGHT)


def test_file_that_does_not_fit_is_refused_before_it_comes(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)
    with pytest.raises(RecloraError, match=r"file\.zip needs 0\.1 MB, and 0\.0 MB are free"):
        fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert not (target.parent / "file.zip.part").exists()


def test_file_address_is_copied_and_verified(tmp_path: Path) -> None:
    (tmp_path / "source.zip").write_bytes(CONTENT)
    target = tmp_path / "to" / "file.zip"
    fetch_file((tmp_path / "source.zip").as_uri(), target, RIGHT)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:secret@host/simple/", "https://host/simple/"),
        ("http://host:8080/a", "http://host:8080/a"),
        ("file:///a/b", "file:///a/b"),
    ],
)
def test_messages_show_no_password(url: str, expected: str) -> None:
    assert shown(url) == expected


# -- a busy server ------------------------------------------------------------------------------


def test_server_error_is_tried_again_and_told(server: FileServer, target: Path) -> None:
    server.answers = [(503, {}), (500, {})]
    listener = Listener()
    fetch_file(f"{server.url}/file.zip", target, RIGHT, listener)
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == 3
    assert "the server answers 503 Service Unavailable: trying again in 1 s" in listener.said


def test_pauses_grow(server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES", (0.05, 0.2))
    server.answers = [(502, {}), (502, {})]
    fetch_file(f"{server.url}/file.zip", target, RIGHT)
    first, second, third = server.times
    assert third - second > 2 * (second - first) - 0.02 > 0.08 - 0.02


def test_server_that_stays_busy_is_unreachable(server: FileServer, target: Path) -> None:
    server.answers = [(504, {})] * 9
    with pytest.raises(UnreachableError, match="504"):
        fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert len(server.asked) == len(patience.PAUSES) + 1


def test_too_many_requests_waits_as_long_as_is_asked(server: FileServer, target: Path) -> None:
    server.answers = [(429, {"Retry-After": "1"})]
    fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert server.times[1] - server.times[0] >= 1


def test_waiting_until_a_date_is_understood() -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    with pytest.raises(patience.BusyError) as caught:
        patience.require_ready(httpx.Response(503, headers={"Retry-After": when}))
    assert caught.value.pause == pytest.approx(30, abs=2)


def test_server_that_asks_for_an_hour_is_given_up_at_once(server: FileServer, target: Path) -> None:
    server.answers = [(429, {"Retry-After": "3600"})]
    with pytest.raises(UnreachableError, match="asks to come back in 3,600 s"):
        fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert len(server.asked) == 1


def test_text_of_a_busy_server_is_asked_for_again(server: FileServer) -> None:
    server.answers = [(503, {})]
    server.files["/sum"] = b"abc"
    assert fetch_text(f"{server.url}/sum") == "abc"


# -- connections --------------------------------------------------------------------------------


def test_server_that_falls_silent_is_left(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "READ_SECONDS", 0.1)
    server.stall["/file.zip"] = 1
    with pytest.raises(UnreachableError, match=r"nothing came for 0\.1 s"):
        fetch_file(f"{server.url}/file.zip", target, RIGHT)


def test_connection_that_brings_much_each_time_is_never_given_up(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "WORTHWHILE", 10_000)
    server.cut_after["/file.zip"], server.cuts = 10_000, 99
    fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == 11


def test_address_that_is_gone_leads_on_and_the_beginning_stays(target: Path) -> None:
    (target.parent / "file.zip.part").write_bytes(CONTENT[:1000])
    with pytest.raises(UnreachableError):
        fetch_file("http://127.0.0.1:9/file.zip", target, RIGHT)
    assert (target.parent / "file.zip.part").read_bytes() == CONTENT[:1000]


def test_redirect_is_followed(server: FileServer, target: Path) -> None:
    server.redirects["/old.zip"] = f"{server.url}/file.zip"
    fetch_file(f"{server.url}/old.zip", target, RIGHT)
    assert target.read_bytes() == CONTENT


def test_redirects_without_end_are_unreachable(server: FileServer, target: Path) -> None:
    server.redirects["/file.zip"] = f"{server.url}/file.zip"
    with pytest.raises(UnreachableError, match="redirects"):
        fetch_file(f"{server.url}/file.zip", target, RIGHT)


def test_nothing_is_decoded_on_the_way(server: FileServer, target: Path) -> None:
    server.files["/books.json.gz"] = PACKED
    server.headers["/books.json.gz"] = {"Content-Encoding": "gzip"}
    whole = fetch_file(f"{server.url}/books.json.gz", target.parent / "books.json.gz", None)
    assert whole.read_bytes() == PACKED
    assert server.sent[0]["Accept-Encoding"] == "identity"


def test_progress_knows_the_whole_also_of_a_rest(server: FileServer, target: Path) -> None:
    (target.parent / "file.zip.part").write_bytes(CONTENT[:1000])
    listener = Listener()
    fetch_file(f"{server.url}/file.zip", target, RIGHT, listener)
    [(title, total, done)] = listener.tasks
    assert (title, total) == ("fetch file.zip", len(CONTENT))
    assert done[0] == 1000
    assert sum(done) == len(CONTENT)


def test_size_is_asked_for_without_the_content(server: FileServer) -> None:
    assert remote_size(f"{server.url}/file.zip") == len(CONTENT)
    assert remote_size(f"{server.url}/other.zip") is None
    assert server.asked == []
