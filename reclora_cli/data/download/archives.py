"""Members of zip and tar archives: only what is wanted, in pieces, and nothing that escapes.

An archive is refused as a whole when a member would land outside its folder, is a link, or inflates
beyond all reason: published datasets hold nothing of the kind.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from reclora_cli.data.download.disk import require_space
from reclora_cli.errors import CheckError, MissingInputError, RecloraError
from reclora_cli.progress import SILENT, Progress

LARGEST = 64 << 30
"""Bytes of a member. GoodReads' largest file has 11 GiB, and is no archive."""

RATIO = 500
FREELY = 256 << 20
"""A member may inflate ``RATIO``-fold beyond its first ``FREELY`` bytes. Text packs 10-fold."""

IN_MEMORY = 256 << 20
"""Bytes of a member that is read into memory: packages carry 25 MB."""

_PIECE = 1 << 20
_ENCRYPTED = 0x1
_READ_HERE = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_FRAGMENT = b"PK\x03\x04"
# What zipfile, tarfile and zlib raise over bytes that are not what their headers say.
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
)


@dataclass(frozen=True)
class _Member:
    """One entry of an archive.

    Attributes:
        name: its path inside, as it stands there.
        size: bytes it says to have.
        most: bytes it may have before it counts as a bomb.
        open: its content.
    """

    name: str
    size: int
    most: int
    is_link: bool
    open: Callable[[], IO[bytes]]


def extract_members(
    archive: Path, wanted: Iterable[str], folder: Path, progress: Progress = SILENT
) -> dict[str, str]:
    """Write members of a zip into ``folder``, piece by piece; the caller removes it on errors.

    Args:
        archive: a ``.zip`` file.
        wanted: the end of each member's path, e.g. ``ratings.dat``; it is written by its base name.
        folder: is there.
        progress: told how many bytes are written of how many.

    Returns:
        SHA-256 of each file, by base name.

    Raises:
        RecloraError: the archive is cut off, damaged or protected, or the disk has no room.
        CheckError: a member's path escapes, is a link, is ambiguous, or inflates like a bomb.
        MissingInputError: a wanted member is not in it.
    """
    with _explained(archive), zipfile.ZipFile(archive) as opened:
        found = _choose(archive, _zip_members(opened, archive), wanted)
        total = sum(member.size for member in found.values())
        require_space(folder, total, f"what {archive.name} holds")
        with progress.task(f"unpack {archive.name}", total, "bytes") as task:
            hashes = {}
            for name, member in found.items():
                digest = hashlib.sha256()
                with (folder / name).open("wb") as file:
                    for piece in _pieces(member, archive):
                        file.write(piece)
                        digest.update(piece)
                        task.advance(len(piece))
                hashes[name] = digest.hexdigest()
    return hashes


def read_members(archive: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Contents of small members, by base name.

    Args:
        archive: a ``.zip``, ``.whl``, ``.tar`` or ``.tar.gz`` file.
        wanted: the end of each member's path, e.g. ``data/ml-1m.item``.

    Raises:
        As ``extract_members``.
    """
    with _explained(archive), _opened(archive) as members:
        found = _choose(archive, members, wanted)
        for member in found.values():
            if member.size > IN_MEMORY:
                raise _bomb(member.name, archive)
        return {name: b"".join(_pieces(member, archive)) for name, member in found.items()}


@contextmanager
def _explained(archive: Path) -> Iterator[None]:
    try:
        yield
    except RecloraError:
        raise
    except _DAMAGED as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # an offset that leads to before the file
            raise
        raise _damaged(archive, error) from error


def _damaged(archive: Path, error: Exception) -> RecloraError:
    with archive.open("rb") as file:
        cut = file.read(4) == _FRAGMENT and not zipfile.is_zipfile(archive)
    why = "its end is missing" if cut else str(error)
    return RecloraError(
        f"not a whole archive ({why})",
        where=str(archive),
        hint="It seems to be cut off or damaged: fetch it again.",
    )


@contextmanager
def _opened(archive: Path) -> Iterator[list[_Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened_zip:
            yield _zip_members(opened_zip, archive)
    else:
        with tarfile.open(archive) as opened_tar:
            yield _tar_members(opened_tar)


def _zip_members(opened: zipfile.ZipFile, archive: Path) -> list[_Member]:
    on_disk = archive.stat().st_size

    def member(info: zipfile.ZipInfo) -> _Member:
        def open_it() -> IO[bytes]:
            _require_readable(info, archive)
            return opened.open(info)

        # What a header says of the packed size is believed as far as the archive is long.
        packed = min(info.compress_size, on_disk)
        is_link = stat.S_ISLNK(info.external_attr >> 16)
        return _Member(info.filename, info.file_size, _most(packed), is_link, open_it)

    return [member(info) for info in opened.infolist()]


def _require_readable(info: zipfile.ZipInfo, archive: Path) -> None:
    if info.flag_bits & _ENCRYPTED:
        what = f"its member {info.filename} is protected by a password"
    elif info.compress_type not in _READ_HERE:
        what = f"its member {info.filename} is packed by a method other than deflate"
    else:
        return
    raise RecloraError(
        what, where=str(archive), hint="Unpack it yourself, and give the folder with --from."
    )


def _tar_members(opened: tarfile.TarFile) -> list[_Member]:
    def member(info: tarfile.TarInfo) -> _Member:
        def open_it() -> IO[bytes]:
            content = opened.extractfile(info)
            if content is None or info.issparse():
                raise tarfile.TarError(f"{info.name} is not a file")
            return content

        return _Member(info.name, info.size, IN_MEMORY, info.issym() or info.islnk(), open_it)

    return [member(info) for info in opened]


def _most(packed: int) -> int:
    return min(LARGEST, max(FREELY, RATIO * packed))


def _choose(archive: Path, members: list[_Member], wanted: Iterable[str]) -> dict[str, _Member]:
    for member in members:
        _refuse_escape(member, archive)
    return {PurePosixPath(end).name: _find(members, end, archive) for end in wanted}


def _refuse_escape(member: _Member, archive: Path) -> None:
    path = PurePosixPath(member.name.replace("\\", "/"))
    if member.is_link:
        what = f"refused: its member {member.name!r} is a link"
    elif path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0][1:2] == ":"):
        what = f"refused: its member {member.name!r} would be written outside the folder"
    else:
        return
    raise CheckError(
        what,
        where=str(archive),
        hint="This is not the published archive. Fetch it again from a place you trust.",
    )


def _find(members: list[_Member], end: str, archive: Path) -> _Member:
    """The one member whose path ends in ``end``; the shallowest when there are several."""
    tail = PurePosixPath(end).parts
    paths = [(PurePosixPath(member.name).parts, member) for member in members]
    found = [
        (len(parts), member)
        for parts, member in paths
        if parts[-len(tail) :] == tail and "__MACOSX" not in parts
    ]
    if not found:
        raise MissingInputError(
            f"{end} is not in the archive", where=str(archive), hint="Is it of another dataset?"
        )
    shallowest = min(depth for depth, _ in found)
    first, *others = (member for depth, member in found if depth == shallowest)
    if others:
        raise CheckError(f"{end} is in the archive more than once", where=str(archive))
    return first


def _pieces(member: _Member, archive: Path) -> Iterator[bytes]:
    """The content, counted while it inflates: headers may lie."""
    if member.size > member.most:
        raise _bomb(member.name, archive)
    done = 0
    with member.open() as content:
        while piece := content.read(_PIECE):
            done += len(piece)
            if done > member.most:
                raise _bomb(member.name, archive)
            yield piece
    if done != member.size:
        raise EOFError(f"{member.name} has {done:,} bytes, and says {member.size:,}")


def _bomb(name: str, archive: Path) -> CheckError:
    return CheckError(
        f"refused: its member {name!r} inflates beyond all reason",
        where=str(archive),
        hint="This is not the published archive. Fetch it again from a place you trust.",
    )
