"""A source's files: given, cached, or fetched from the first address that has them."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reclora_cli import recipe
from reclora_cli.data.download import addresses, downloads_folder, patience
from reclora_cli.data.download import fetch as fetch_asking
from reclora_cli.data.download.package_index import PipSettings
from reclora_cli.data.sources import ml_1m, ml_100k
from reclora_cli.data.sources.base import (
    Members,
    PackageAddress,
    Source,
    ZipAddress,
)
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import CheckError, MissingInputError, RecloraError
from reclora_cli.progress import SilentProgress
from reclora_cli.stages import prepare
from reclora_cli.workspace import Workspace
from tests.unit.file_server import FileServer, serving
from tests.world import write_ml_1m


@dataclass
class Listener(SilentProgress):
    """Keeps what was said."""

    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)


def fetch(source: Source, **options: Any) -> Path:
    """``fetch`` with a person who accepts all terms."""
    return fetch_asking(source, confirm=lambda _: True, **options)


def _packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _turned(members: Members) -> Members:
    """The package of these tests keeps files backwards, under another ending."""
    return {name.replace(".atomic", ".dat"): content[::-1] for name, content in members.items()}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES", (0.01, 0.01, 0.01))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_ml_1m(tmp_path / "original")


@pytest.fixture
def files(raw: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in raw.iterdir()}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> Iterator[FileServer]:
    """Serves the archive with its MD5, and a package index with the same data."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    archive = _packed({f"ml-1m/{name}": content for name, content in files.items()})
    package = _packed(
        {f"pkg/{name.replace('.dat', '.atomic')}": content[::-1] for name, content in files.items()}
    )
    with serving() as state:
        state.files = {
            "/ml-1m.zip": archive,
            "/ml-1m.zip.md5": f"MD5 (ml-1m.zip) = {hashlib.md5(archive).hexdigest()}\n".encode(),
            "/simple/pkg/": b'<a href="/pkg-1.whl">pkg-1.whl</a>',
            "/pkg-1.whl": package,
        }
        settings = PipSettings((f"{state.url}/simple",))
        monkeypatch.setattr(addresses, "pip_settings", lambda: settings)
        yield state


@pytest.fixture
def source(server: FileServer, files: dict[str, bytes]) -> Source:
    """ML-1M's form, with the tiny world as the published content."""
    package = PackageAddress(
        project="pkg",
        filename="pkg-1.whl",
        sha256=hashlib.sha256(server.files["/pkg-1.whl"]).hexdigest(),
        members=tuple(f"pkg/{name.replace('.dat', '.atomic')}" for name in files),
        rebuild=_turned,
    )
    return replace(
        ml_1m.SOURCE,
        files={name: (hashlib.sha256(content).hexdigest(),) for name, content in files.items()},
        addresses=(ZipAddress(f"{server.url}/ml-1m.zip"), package),
    )


def _holds(folder: Path, files: dict[str, bytes]) -> bool:
    kept = {file.name: file.read_bytes() for file in folder.iterdir()}
    return kept.keys() - files.keys() <= {"fetched.json"} and files.items() <= kept.items()


def test_archive_is_fetched_verified_and_unpacked(source: Source, files: dict[str, bytes]) -> None:
    folder = fetch(source)
    assert folder == downloads_folder() / "ml-1m"
    assert _holds(folder, files)


def test_nothing_but_the_verified_files_is_left(source: Source) -> None:
    fetch(source)
    locks = {".ml-1m.lock", ".accepted.lock"}
    left = {path.name for path in downloads_folder().iterdir()} - locks
    assert left == {"ml-1m", "accepted.json"}


def test_second_time_nothing_is_asked_of_the_network(source: Source, server: FileServer) -> None:
    fetch(source)
    server.asked.clear()
    listener = Listener()
    fetch(source, progress=listener)
    assert (server.asked, listener.said) == ([], [])


def test_damaged_file_in_the_cache_is_fetched_anew(source: Source, files: dict[str, bytes]) -> None:
    folder = fetch(source)
    (folder / "ratings.dat").write_bytes(b"half")
    assert _holds(fetch(source), files)


@pytest.mark.parametrize("missing", ["/ml-1m.zip", "/ml-1m.zip.md5"])
def test_package_is_fetched_when_the_archive_cannot_be(
    source: Source, server: FileServer, files: dict[str, bytes], missing: str
) -> None:
    del server.files[missing]
    listener = Listener()
    assert _holds(fetch(source, progress=listener), files)
    assert any("404" in line for line in listener.said)
    assert any("pkg-1.whl of the package index" in line for line in listener.said)


def test_log_in_page_in_place_of_the_checksum_leads_to_the_next_address(
    source: Source, server: FileServer, files: dict[str, bytes]
) -> None:
    server.files["/ml-1m.zip.md5"] = b"<html>please log in</html>"
    assert _holds(fetch(source), files)


def test_archive_with_a_wrong_checksum_ends_the_search(source: Source, server: FileServer) -> None:
    server.files["/ml-1m.zip"] = server.files["/ml-1m.zip"][:-1] + b"!"
    with pytest.raises(CheckError, match="wrong checksum: expected md5") as caught:
        fetch(source)
    assert caught.value.exit_code == 4
    assert not (downloads_folder() / "ml-1m").exists()
    assert not list(downloads_folder().rglob("*.zip*"))
    assert all("pkg" not in path for path, _ in server.asked)


def test_package_with_a_wrong_checksum_ends_the_search(source: Source, server: FileServer) -> None:
    del server.files["/ml-1m.zip"]
    server.files["/pkg-1.whl"] += b"!"
    with pytest.raises(CheckError, match="wrong checksum: expected sha256"):
        fetch(source)


def test_whole_archive_of_other_content_is_refused(source: Source, files: dict[str, bytes]) -> None:
    other = replace(source, files={**source.files, "users.dat": ("0" * 64,)})
    with pytest.raises(CheckError, match=r"users\.dat is not the published file"):
        fetch(other)
    assert not (downloads_folder() / "ml-1m").exists()


def test_truncated_download_is_resumed_by_the_next_call(
    source: Source, server: FileServer, files: dict[str, bytes]
) -> None:
    server.cut_after["/ml-1m.zip"], server.cuts = 500, 4
    with pytest.raises(RecloraError, match="lost after 2,000 bytes"):
        fetch(source)
    assert not (downloads_folder() / "ml-1m").exists()
    assert _holds(fetch(source), files)
    assert ("/ml-1m.zip", "bytes=2000-") in server.asked


def test_no_network_names_every_address_and_the_way_without(
    source: Source, server: FileServer
) -> None:
    server.files.clear()
    with pytest.raises(MissingInputError) as caught:
        fetch(source)
    text = str(caught.value)
    assert f"{server.url}/ml-1m.zip: the server answers 404" in text
    assert "pkg-1.whl of the package index" in text
    assert "--from PATH" in text
    assert caught.value.exit_code == 3


@pytest.mark.network
@pytest.mark.parametrize("source_of", [ml_100k.SOURCE, ml_1m.SOURCE], ids=lambda one: one.name)
def test_package_index_gives_the_same_store_as_the_original_files(
    source_of: Source, real_data: Path, tmp_path: Path
) -> None:
    packages = tuple(at for at in source_of.addresses if isinstance(at, PackageAddress))
    source = replace(source_of, addresses=packages)
    try:
        folder = fetch(source)
    except MissingInputError as error:
        pytest.skip(f"no package index can be reached: {error.what}")
    settings = recipe.load(source.name)
    stores = []
    for name, given in (("rebuilt", folder), ("original", real_data)):
        workspace = Workspace(tmp_path / name)
        prepare.run(settings, workspace, given=given)
        stores.append(InteractionsStore(workspace.store(source.name).path))
    rebuilt, original = stores
    assert rebuilt.header == original.header
    for name in rebuilt.header.user_fields + rebuilt.header.item_fields:
        assert rebuilt.vocabulary(name).equals(original.vocabulary(name))
    assert rebuilt.items.equals(original.items)
    assert rebuilt.users.equals(original.users)
    for file in original.folder.glob("*.npy"):
        np.testing.assert_array_equal(np.load(rebuilt.folder / file.name), np.load(file))
