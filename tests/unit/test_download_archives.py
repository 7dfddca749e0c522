"""Reading archives: only what is wanted, and nothing that escapes."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from reclora_cli.data.archives import read_members
from reclora_cli.errors import CheckError, MissingInputError, RecloraError


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(params=[_zip, _tar], ids=["zip", "tar.gz"])
def pack(request: pytest.FixtureRequest, tmp_path: Path):
    return lambda members: request.param(tmp_path / "archive", members)


def test_members_are_found_by_the_end_of_their_path(pack) -> None:
    archive = pack({"top/ml-1m/a.dat": b"one", "top/other/a.dat": b"two", "top/b.dat": b"three"})
    assert read_members(archive, ["ml-1m/a.dat", "b.dat"]) == {"a.dat": b"one", "b.dat": b"three"}


def test_shallowest_member_is_taken_and_finder_leftovers_are_not(pack) -> None:
    archive = pack({"__MACOSX/a.dat": b"no", "ml-1m/a.dat": b"yes", "ml-1m/old/a.dat": b"older"})
    assert read_members(archive, ["a.dat"]) == {"a.dat": b"yes"}


def test_member_that_is_there_twice_is_refused(pack) -> None:
    with pytest.raises(CheckError, match="more than once"):
        read_members(pack({"one/a.dat": b"1", "two/a.dat": b"2"}), ["a.dat"])


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:\\evil.txt"]
)
def test_archive_with_an_escaping_member_is_refused_whole(pack, name: str) -> None:
    archive = pack({"a.dat": b"fine", name: b"evil"})
    with pytest.raises(CheckError, match="would be written outside") as caught:
        read_members(archive, ["a.dat"])
    assert caught.value.exit_code == 4


def test_missing_member_is_named(pack) -> None:
    with pytest.raises(MissingInputError, match=r"b\.dat is not in the archive"):
        read_members(pack({"a.dat": b"fine"}), ["b.dat"])


def test_cut_off_archive_is_told(pack) -> None:
    archive = pack({"a.dat": bytes(range(256)) * 999, "b.dat": b"x"})
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(RecloraError, match="not a whole archive"):
        read_members(archive, ["a.dat"])


def test_damaged_member_is_told(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a.dat": bytes(range(256)) * 99})
    content = bytearray(archive.read_bytes())
    content[60] ^= 0xFF
    archive.write_bytes(bytes(content))
    with pytest.raises(RecloraError, match="not a whole archive"):
        read_members(archive, ["a.dat"])


def test_file_that_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("<html>please log in</html>")
    with pytest.raises(RecloraError, match="not a whole archive"):
        read_members(tmp_path / "a.zip", ["a.dat"])
