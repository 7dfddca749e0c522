"""Members of zip and tar archives, read without unpacking anything anywhere.

An archive with a member that would land outside its folder is refused as a whole.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from reclora_cli.errors import CheckError, MissingInputError, RecloraError


def read_members(archive: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Contents of members by base name.

    Args:
        archive: a ``.zip``, ``.whl``, ``.tar`` or ``.tar.gz`` file.
        wanted: the end of each member's path, e.g. ``ratings.dat`` or ``data/ml-1m.item``.

    Raises:
        RecloraError: the archive is cut off or damaged.
        CheckError: a member's path escapes, or is ambiguous.
        MissingInputError: a wanted member is not in it.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened_zip:
                return _read(archive, wanted, opened_zip.namelist(), opened_zip.read)
        with tarfile.open(archive) as opened_tar:
            return _read(archive, wanted, opened_tar.getnames(), _tar_reader(opened_tar))
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, RuntimeError) as error:
        raise RecloraError(
            f"not a whole archive ({error})",
            where=str(archive),
            hint="It seems to be cut off or damaged: fetch it again.",
        ) from error


def _read(
    archive: Path, wanted: Iterable[str], names: list[str], read: Callable[[str], bytes]
) -> dict[str, bytes]:
    for name in names:
        _refuse_escape(name, archive)
    return {PurePosixPath(end).name: read(_member(names, end, archive)) for end in wanted}


def _refuse_escape(name: str, archive: Path) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        raise CheckError(
            f"refused: its member {name!r} would be written outside the folder",
            where=str(archive),
            hint="This is not the published archive. Fetch it again from a place you trust.",
        )


def _member(names: list[str], end: str, archive: Path) -> str:
    """The one member whose path ends in ``end``; the shallowest when there are several."""
    tail = PurePosixPath(end).parts
    found = [name for name in names if PurePosixPath(name).parts[-len(tail) :] == tail]
    found = [name for name in found if "__MACOSX" not in name]
    if not found:
        raise MissingInputError(
            f"{end} is not in the archive", where=str(archive), hint="Is it of another dataset?"
        )
    depths = sorted(len(PurePosixPath(name).parts) for name in found)
    if depths[:2] == [depths[0]] * 2:
        raise CheckError(f"{end} is in the archive more than once", where=str(archive))
    return min(found, key=lambda name: len(PurePosixPath(name).parts))


def _tar_reader(archive: tarfile.TarFile) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        member = archive.extractfile(name)
        if member is None:
            raise tarfile.TarError(f"{name} is not a file")
        with member:
            return member.read()

    return read
