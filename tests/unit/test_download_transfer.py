"""One file from one address: whole and verified, or not there at all."""

from __future__ import annotations

import errno
import hashlib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reclora_cli.data import transfer
from reclora_cli.data.transfer import Checksum, UnreachableError, fetch_file, fetch_text, shown
from reclora_cli.errors import CheckError, RecloraError
from tests.unit.file_server import FileServer, serving

CONTENT = bytes(range(256)) * 400
RIGHT = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())


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
    with pytest.raises(RecloraError, match="lost after 3,000 bytes") as caught:
        fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert "it goes on from there" in str(caught.value.hint)
    assert not target.exists()
    assert (target.parent / "file.zip.part").read_bytes() == CONTENT[:3_000]


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
    assert time.monotonic() - started < transfer.CONNECT_SECONDS + 1


def test_name_look_up_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    monkeypatch.setattr(transfer, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(transfer.socket, "getaddrinfo", lambda *_: time.sleep(2))
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="cannot be found"):
        fetch_file("https://slow.invalid/file.zip", target, RIGHT)
    assert time.monotonic() - started < 1


def test_tls_failure_is_explained_and_not_bypassed(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")

    monkeypatch.setattr(httpx.Client, "stream", refuse)
    with pytest.raises(UnreachableError, match="TLS certificate cannot be verified") as caught:
        fetch_file(f"{server.url}/file.zip", target, RIGHT)
    assert "SSL_CERT_FILE" in caught.value.what
    assert server.asked == []


def test_every_connection_verifies_certificates(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Any] = []
    make = httpx.Client

    def client(*arguments: Any, **options: Any) -> httpx.Client:
        used.append(options["verify"])
        return make(*arguments, **options)

    monkeypatch.setattr(transfer.httpx, "Client", client)
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

    monkeypatch.setattr(transfer, "_receive", full)
    with pytest.raises(RecloraError, match="the disk is full"):
        fetch_file(f"{server.url}/file.zip", target, RIGHT)


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
