"""Archives: only what is wanted, in pieces, and nothing that escapes or inflates without end."""

from __future__ import annotations

import hashlib
import io
import os
import random
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclora_cli.data.download import archives
from reclora_cli.data.download.archives import extract_members, read_members
from reclora_cli.errors import CheckError, MissingInputError, RecloraError

MEGABYTE = 1 << 20


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


def test_zip_that_is_cut_off_is_known_by_its_missing_end(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a.dat": bytes(range(256)) * 999})
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(RecloraError, match=r"not a whole archive \(its end is missing\)") as caught:
        extract_members(archive, ["a.dat"], tmp_path)
    assert "fetch it again" in str(caught.value.hint)


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


def test_link_to_elsewhere_is_refused_in_a_zip(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        info = zipfile.ZipInfo("link.dat")
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(info, "/etc/passwd")
        opened.writestr("a.dat", b"fine")
    with pytest.raises(CheckError, match=r"'link\.dat' is a link"):
        read_members(archive, ["a.dat"])


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_link_to_elsewhere_is_refused_in_a_tar(tmp_path: Path, kind: bytes) -> None:
    archive = _tar(tmp_path / "a.tar.gz", {"a.dat": b"fine"})
    with tarfile.open(archive, "w:gz") as opened:
        info = tarfile.TarInfo("link.dat")
        info.type, info.linkname = kind, "/etc/passwd"
        opened.addfile(info)
    with pytest.raises(CheckError, match=r"'link\.dat' is a link"):
        read_members(archive, ["link.dat"])


def test_member_too_large_for_memory_is_refused(pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "IN_MEMORY", 999)
    with pytest.raises(CheckError, match="inflates beyond all reason"):
        read_members(pack({"a.dat": b"x" * 1000}), ["a.dat"])


# -- to files -----------------------------------------------------------------------------------


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_wanted_members_are_written_and_hashed(tmp_path: Path, out: Path) -> None:
    content = random.Random(7).randbytes(3 * MEGABYTE + 5)
    archive = _zip(tmp_path / "a.zip", {"ml/a.dat": content, "ml/b.dat": b"b", "ml/c.dat": b"c"})
    hashes = extract_members(archive, ["a.dat", "b.dat"], out)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == {
        "a.dat": content,
        "b.dat": b"b",
    }
    assert hashes["a.dat"] == hashlib.sha256(content).hexdigest()


_MEASURED = """
import resource, sys
from pathlib import Path
from reclora_cli.data.download.archives import extract_members
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
extract_members(Path(sys.argv[1]), ["a.dat"], Path(sys.argv[2]))
"""


def test_large_member_passes_through_little_memory(tmp_path: Path, out: Path) -> None:
    archive = tmp_path / "a.zip"
    piece = (b"1,2,3.5,1234567890\n" * 60_000)[:MEGABYTE]
    with (
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as opened,
        opened.open("a.dat", "w", force_zip64=True) as member,
    ):
        for _ in range(1200):
            member.write(piece)
    subprocess.run([sys.executable, "-c", _MEASURED, str(archive), str(out)], check=True)
    assert (out / "a.dat").stat().st_size == 1200 * MEGABYTE


def test_bomb_is_refused_before_anything_is_written(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREELY", MEGABYTE)
    archive = _zip(tmp_path / "a.zip", {"a.dat": bytes(9 * MEGABYTE)})
    with pytest.raises(CheckError, match="inflates beyond all reason") as caught:
        extract_members(archive, ["a.dat"], out)
    assert caught.value.exit_code == 4
    assert (out / "a.dat").stat().st_size == 0


def test_member_may_pack_well_at_first(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREELY", 9 * MEGABYTE)
    archive = _zip(tmp_path / "a.zip", {"a.dat": bytes(9 * MEGABYTE)})
    extract_members(archive, ["a.dat"], out)
    assert (out / "a.dat").stat().st_size == 9 * MEGABYTE


def test_member_larger_than_any_dataset_is_refused(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST", 1000)
    archive = _zip(tmp_path / "a.zip", {"a.dat": os.urandom(1001)})
    with pytest.raises(CheckError, match="inflates beyond all reason"):
        extract_members(archive, ["a.dat"], out)


def _with_sizes(archive: Path, packed: int | None, size: int | None) -> None:
    """Let the headers of a zip with one member say other sizes."""
    content = bytearray(archive.read_bytes())
    for mark, at in ((b"PK\x03\x04", 18), (b"PK\x01\x02", 20)):
        start = content.index(mark)
        for offset, value in ((at, packed), (at + 4, size)):
            if value is not None:
                struct.pack_into("<I", content, start + offset, value)
    archive.write_bytes(bytes(content))


def test_packed_size_that_lies_hides_no_bomb(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREELY", MEGABYTE)
    archive = _zip(tmp_path / "a.zip", {"a.dat": bytes(9 * MEGABYTE)})
    _with_sizes(archive, packed=9 * MEGABYTE, size=None)
    with pytest.raises(CheckError, match="inflates beyond all reason"):
        extract_members(archive, ["a.dat"], out)


def test_size_that_lies_lets_no_more_through(tmp_path: Path, out: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a.dat": bytes(9 * MEGABYTE)})
    _with_sizes(archive, packed=None, size=5)
    with pytest.raises(RecloraError, match="not a whole archive"):
        extract_members(archive, ["a.dat"], out)
    assert (out / "a.dat").stat().st_size <= 5


def test_protected_zip_is_explained(tmp_path: Path, out: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a.dat": b"secret"})
    content = bytearray(archive.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    archive.write_bytes(bytes(content))
    with pytest.raises(RecloraError, match=r"a\.dat is protected by a password") as caught:
        extract_members(archive, ["a.dat"], out)
    assert "Unpack it yourself" in str(caught.value.hint)


def test_other_ways_of_packing_are_explained(tmp_path: Path, out: Path) -> None:
    """bzip2 would inflate a few KiB to gigabytes of memory in one step."""
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_BZIP2) as opened:
        opened.writestr("a.dat", b"x" * 1000)
    with pytest.raises(RecloraError, match="a method other than deflate"):
        extract_members(archive, ["a.dat"], out)


def test_disk_without_room_is_told_before_unpacking(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = _zip(tmp_path / "a.zip", {"a.dat": bytes(30 * MEGABYTE)})
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": MEGABYTE}))
    with pytest.raises(RecloraError, match=r"a\.zip holds needs 31\.5 MB, and 1\.0 MB are free"):
        extract_members(archive, ["a.dat"], out)
    assert list(out.iterdir()) == []


_WHOLE = io.BytesIO()
with zipfile.ZipFile(_WHOLE, "w", zipfile.ZIP_DEFLATED) as _archive:
    _archive.writestr("ml/a.dat", b"some text, packed" * 20)
    _archive.writestr("ml/b.dat", b"more")


@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(_WHOLE.getvalue()) - 1), st.integers(0, 255)), max_size=4
    ),
    length=st.integers(0, len(_WHOLE.getvalue())),
)
def test_damage_anywhere_is_an_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], length: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = bytearray(_WHOLE.getvalue())
    for at, value in changes:
        content[at] = value
    (folder / "a.zip").write_bytes(bytes(content[:length] if length % 2 else content))
    (folder / "out").mkdir()
    try:
        extract_members(folder / "a.zip", ["a.dat"], folder / "out")
    except RecloraError:
        return
    assert (folder / "out" / "a.dat").read_bytes() == b"some text, packed" * 20
