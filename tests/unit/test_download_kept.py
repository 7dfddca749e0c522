"""What is kept of a download: the files, what is noted of them, and nothing half."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reclora_cli.data.download import downloads_folder, fetch, kept, known_hash, patience
from reclora_cli.data.sources.base import Source, ZipAddress
from reclora_cli.errors import CheckError, MissingInputError, RecloraError
from reclora_cli.progress import SilentProgress
from tests.unit.file_server import FileServer, serving
from tests.unit.published import FILES, Person, latest, packed, publish
from tests.unit.tls_certificates import make_certificates


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(patience, "PAUSES", (0.01, 0.01, 0.01))
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with serving() as state:
        publish(state, FILES)
        yield state


@pytest.fixture
def source(server: FileServer) -> Source:
    return latest(server)


def _contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


# -- files without pinned hashes ----------------------------------------------------------------


def test_file_without_a_pinned_hash_is_verified_by_the_archives_md5(
    source: Source, server: FileServer
) -> None:
    server.files["/ml-latest.zip"] = packed({**FILES, "movies.csv": b"forged"})
    with pytest.raises(CheckError, match="wrong checksum: expected md5"):
        fetch(source, confirm=Person())
    assert not (downloads_folder() / "ml-latest").exists()


@pytest.mark.parametrize("form", ["{}  ml-latest.zip\n", "MD5 (ml-latest.zip) = {}\n", "{}"])
def test_published_md5_is_read_in_every_usual_form(
    source: Source, server: FileServer, form: str
) -> None:
    digest = hashlib.md5(server.files["/ml-latest.zip"]).hexdigest()
    server.files["/ml-latest.zip.md5"] = form.format(digest.upper()).encode()
    assert _contents(fetch(source, confirm=Person())) == FILES


def test_what_came_is_noted_beside_it(source: Source, server: FileServer) -> None:
    folder = fetch(source, confirm=Person())
    note = json.loads((folder / "fetched.json").read_text())
    assert note["from"] == f"{server.url}/ml-latest.zip"
    hashes = {name: kept["sha256"] for name, kept in note["files"].items()}
    assert hashes == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def test_kept_files_stay_though_the_published_ones_change(
    source: Source, server: FileServer
) -> None:
    fetch(source, confirm=Person())
    publish(server, {**FILES, "movies.csv": b"movieId,title\n3,Speed\n"})
    server.asked.clear()
    assert _contents(fetch(source)) == FILES
    assert server.asked == []


def test_kept_file_that_changed_is_fetched_anew(source: Source) -> None:
    folder = fetch(source, confirm=Person())
    (folder / "movies.csv").write_bytes(b"changed")
    assert _contents(fetch(source)) == FILES


def test_unchanged_kept_files_are_not_hashed_again(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch(source, confirm=Person())
    hashed: list[Path] = []
    monkeypatch.setattr(kept, "hash_file", hashed.append)
    fetch(source)
    assert known_hash(folder / "movies.csv") == hashlib.sha256(FILES["movies.csv"]).hexdigest()
    assert hashed == []


def test_touched_kept_file_is_hashed_and_found_the_same(source: Source, server: FileServer) -> None:
    folder = fetch(source, confirm=Person())
    server.asked.clear()
    os.utime(folder / "movies.csv", (1, 1))
    fetch(source)
    assert server.asked == []


def test_damage_that_leaves_size_and_time_is_found_by_a_thorough_look(
    source: Source, server: FileServer
) -> None:
    folder = fetch(source, confirm=Person())
    file = folder / "movies.csv"
    state = file.stat()
    file.write_bytes(FILES["movies.csv"].replace(b"Heat", b"Hate"))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    fetch(source)
    assert file.read_bytes() != FILES["movies.csv"]
    assert _contents(fetch(source, thorough=True)) == FILES


def test_files_whose_note_is_gone_are_fetched_anew(source: Source, server: FileServer) -> None:
    folder = fetch(source, confirm=Person())
    (folder / "fetched.json").unlink()
    server.asked.clear()
    fetch(source)
    assert server.asked != []
    assert (folder / "fetched.json").is_file()


def test_note_beside_files_of_the_users_own_is_not_believed(tmp_path: Path) -> None:
    kept.write_note(tmp_path, {}, "")
    (tmp_path / "a.csv").write_bytes(b"a")
    kept.write_note(tmp_path, {"a.csv": "0" * 64}, "somewhere")
    assert known_hash(tmp_path / "a.csv") == hashlib.sha256(b"a").hexdigest()


# -- whole or not at all ------------------------------------------------------------------------


def test_bomb_in_a_verified_archive_leaves_nothing(
    source: Source, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reclora_cli.data.download.archives.FREELY", 1000)
    publish(server, {**FILES, "ratings.csv": bytes(1 << 20)})
    with pytest.raises(CheckError, match="inflates beyond all reason"):
        fetch(source, confirm=Person())
    left = {path.name for path in downloads_folder().iterdir() if path.suffix != ".lock"}
    assert left == {"accepted.json"}


def test_verified_archive_is_not_fetched_again_after_unpacking_failed(
    source: Source, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        full = type("Usage", (), {"free": len(server.files["/ml-latest.zip"])})
        patched.setattr("shutil.disk_usage", lambda _: full)
        with pytest.raises(RecloraError, match="holds needs"):
            fetch(source, confirm=Person())
    server.asked.clear()
    assert _contents(fetch(source)) == FILES
    assert server.asked == [("/ml-latest.zip.md5", None)]


_FETCHING = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_process_says_that_it_waits_for_the_first(source: Source) -> None:
    downloads_folder().mkdir(parents=True)
    lock = downloads_folder() / ".ml-latest.lock"
    command = [sys.executable, "-c", _FETCHING, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"

        class Listener(SilentProgress):
            def say(self, message: str) -> None:
                said.append(message)
                other.kill()

        said: list[str] = []
        folder = fetch(source, confirm=Person(), progress=Listener())
    assert said[0] == "another reclora is fetching ml-latest: waiting for it"
    assert _contents(folder) == FILES


# -- nowhere ------------------------------------------------------------------------------------


def test_lapsed_certificate_says_what_failed_and_what_can_be_done(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = make_certificates(tmp_path)
    if certificates is None:
        pytest.skip("the openssl command is not installed")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.expired))
    with serving(certificates.expired) as lapsed:
        publish(lapsed, FILES)
        address = ZipAddress(f"{lapsed.url}/ml-latest.zip")
        with pytest.raises(MissingInputError) as caught:
            fetch(replace(source, addresses=(address,)), confirm=Person())
        assert lapsed.asked == []
    hint = str(caught.value.hint)
    assert "its TLS certificate has expired" in caught.value.what
    assert "clock" in hint
    assert "--from PATH" in hint
    assert f"{lapsed.url}/ml-latest.zip.md5" in hint


def test_lapsed_certificate_leads_to_the_next_address(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = make_certificates(tmp_path)
    if certificates is None:
        pytest.skip("the openssl command is not installed")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.expired))
    with serving(certificates.expired) as lapsed:
        address = ZipAddress(f"{lapsed.url}/ml-latest.zip")
        several = replace(source, addresses=(address, *source.addresses))
        assert _contents(fetch(several, confirm=Person())) == FILES
        assert lapsed.asked == []
