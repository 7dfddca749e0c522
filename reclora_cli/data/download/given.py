"""A source's files from where the user says they are: a folder, a zip, or one file of their own."""

from __future__ import annotations

import zipfile
from pathlib import Path

from reclora_cli.data.download.archives import extract_members
from reclora_cli.data.download.kept import (
    downloads_folder,
    is_intact,
    known_hash,
    write_note,
)
from reclora_cli.data.sources.base import Source
from reclora_cli.errors import MissingInputError
from reclora_cli.progress import Progress
from reclora_cli.workspace import atomic_folder, explain_os_errors, hash_file

_OTHER_ARCHIVES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")


def take_given(source: Source, given: Path, progress: Progress) -> Path:
    """The folder that holds the source's files: ``given``, one inside it, or where it is unpacked.

    A source without addresses is the user's own data: ``given`` itself, whatever it is.

    Raises:
        MissingInputError: no such path, or a file is missing there.
        RecloraError: an archive is cut off, damaged or protected.
        CheckError: an archive is not one to unpack.
    """
    if not given.exists() and not source.addresses:
        raise MissingInputError(
            "the file of the interactions is not there",
            where=str(given),
            hint=f"Name where it lies: reclora prepare {source.name} --from FILE",
        )
    if not given.exists():
        raise MissingInputError("no such folder or zip", where=str(given), hint="Check --from.")
    if not source.addresses:
        return given
    folder = _inside(source, given) if given.is_dir() else _unpacked(source, given, progress)
    _warn_of_other_content(source, folder, progress)
    return folder


def _inside(source: Source, given: Path) -> Path:
    """``given``, its folder named like the source, or its only folder that holds the files."""
    folders = sorted(path for path in given.iterdir() if path.is_dir() and path.name[0] != ".")
    if _holds_all(source, given):
        return given
    if _holds_all(source, given / source.name):
        return given / source.name
    found = [folder for folder in folders if _holds_all(source, folder)]
    if len(found) > 1:
        raise MissingInputError(
            f"{', '.join(folder.name for folder in found)} hold files of {source.label}",
            where=str(given),
            hint=f"Name one of them: --from {found[0]}",
        )
    if not found:
        source.find_files(given)  # says what is missing
    return found[0]


def _holds_all(source: Source, folder: Path) -> bool:
    try:
        source.find_files(folder)
    except MissingInputError:
        return False
    return True


def _unpacked(source: Source, given: Path, progress: Progress) -> Path:
    """The needed files of a zip, in a folder of the cache named after its content."""
    _require_archive(source, given)
    folder = downloads_folder() / f"{source.name}-given-{hash_file(given)[:12]}"
    if not is_intact(folder, source.files):
        with explain_os_errors(folder), atomic_folder(folder) as unfinished:
            hashes = extract_members(given, source.files, unfinished, progress)
            write_note(unfinished, hashes, str(given.resolve()))
    return folder


def _require_archive(source: Source, given: Path) -> None:
    name = given.name.lower()
    if name.endswith(".zip") or zipfile.is_zipfile(given):
        return
    if name.endswith(_OTHER_ARCHIVES):
        what = "of archives, only zip is unpacked here"
        hint = "Unpack it yourself, and give the folder with --from."
    else:
        what = f"one file is given, and {source.label} is read from {', '.join(source.files)}"
        hint = f"Give the folder that holds them: --from {given.parent}"
    raise MissingInputError(what, where=str(given), hint=hint)


def _warn_of_other_content(source: Source, folder: Path, progress: Progress) -> None:
    files = source.find_files(folder)
    strange = [
        name
        for name, file in files.items()
        if source.files.get(name) and known_hash(file) not in source.files[name]
    ]
    if strange:
        progress.warn(
            f"{', '.join(strange)} differ from the published {source.label}: "
            "figures will not be comparable with published ones"
        )
