"""A source's genuine files: from a folder or zip the user gives, the cache, or the network.

Each address of the source is tried in turn; the next one only when an address cannot be reached.
A file that arrives with a wrong checksum ends the search: that is an alarm, not an outage.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock

from reclora_cli.data.archives import read_members
from reclora_cli.data.package_index import find_distribution, pip_settings
from reclora_cli.data.sources.base import Address, Members, PackageAddress, Source, ZipAddress
from reclora_cli.data.transfer import Checksum, UnreachableError, fetch_file, fetch_text, shown
from reclora_cli.errors import CheckError, MissingInputError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.workspace import atomic_folder, cache_folder, explain_os_errors, hash_file


def fetch(source: Source, *, given: Path | None = None, progress: Progress = SILENT) -> Path:
    """A folder that holds ``source.files``.

    Args:
        source: the dataset.
        given: folder or zip of the original files. They may differ from the published ones (a
            warning says so).
        progress: told the terms of use before a download, and which address is tried.

    Raises:
        MissingInputError: a file is missing in ``given``, or no address can be reached.
        CheckError: a download is not what was published.
        RecloraError: an archive is cut off, or the connection was lost.
    """
    if given is not None:
        return _given(source, Path(given), progress)
    folder = downloads_folder() / source.name
    with explain_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{source.name}.lock")):
            if not _is_genuine(source, folder):
                _download(source, folder, progress)
    return folder


def downloads_folder() -> Path:
    """Where verified original files are kept for all workspaces."""
    return cache_folder() / "downloads"


def _given(source: Source, given: Path, progress: Progress) -> Path:
    if given.is_dir():
        inside = given / source.name
        folder = (
            inside if inside.is_dir() and not (given / next(iter(source.files))).exists() else given
        )
    elif given.is_file():
        folder = _unpacked(source, given)
    else:
        raise MissingInputError("no such folder or zip", where=str(given), hint="Check --from.")
    for name in source.files:
        _require_given(folder / name, source)
    strange = [name for name in source.files if not _has_genuine(source, folder, name)]
    if strange:
        progress.warn(
            f"{', '.join(strange)} differ from the published {source.label}: "
            "figures will not be comparable with published ones"
        )
    return folder


def _require_given(file: Path, source: Source) -> None:
    if not file.is_file():
        raise MissingInputError(
            f"{file.name} is missing",
            where=str(file.parent),
            hint=f"{source.label} needs {', '.join(source.files)}.",
        )


def _unpacked(source: Source, archive: Path) -> Path:
    """The needed files of a zip, in a folder of the cache named after its content."""
    folder = downloads_folder() / f"{source.name}-given-{hash_file(archive)[:12]}"
    if not folder.is_dir():
        members = read_members(archive, source.files)
        with explain_os_errors(folder):
            _keep(folder, members)
    return folder


def _download(source: Source, folder: Path, progress: Progress) -> None:
    progress.say(f"{source.label}. {source.terms} In full: {source.terms_url}")
    failures: list[UnreachableError] = []
    for address in source.addresses:
        try:
            members = _members(source, address, folder.parent, progress)
        except UnreachableError as error:
            failures.append(error)
            progress.say(f"{_described(address)}: {error.what}")
            continue
        _verify(source, members, _described(address))
        _keep(folder, members)
        return
    tried = "\n".join(
        f"  {_described(at)}: {why.what}"
        for at, why in zip(source.addresses, failures, strict=True)
    )
    raise MissingInputError(
        f"{source.label} cannot be fetched. Tried:\n{tried}",
        where=source.name,
        hint="Fetch the files on a machine with network, and run "
        f"`reclora prepare {source.name} --from PATH`.",
    )


def _members(source: Source, address: Address, folder: Path, progress: Progress) -> Members:
    if isinstance(address, ZipAddress):
        return _from_zip(source, address, folder, progress)
    return _from_package(address, folder, progress)


def _from_zip(source: Source, address: ZipAddress, folder: Path, progress: Progress) -> Members:
    progress.say(f"trying {_described(address)}")
    checksum = _published_md5(address)
    target = folder / f"{source.name}.zip"
    fetch_file(address.url, target, checksum, progress)
    try:
        return read_members(target, source.files)
    finally:
        target.unlink(missing_ok=True)


def _published_md5(address: ZipAddress) -> Checksum:
    text = fetch_text(address.checksum_url)
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if found is None:
        raise UnreachableError("the published checksum cannot be read", where=address.checksum_url)
    return Checksum("md5", found.group().lower())


def _from_package(address: PackageAddress, folder: Path, progress: Progress) -> Members:
    """Fetch the distribution from the first place of pip's index that gives it."""
    progress.say(f"trying {_described(address)}")
    settings = pip_settings()
    target = folder / address.filename
    checksum = Checksum("sha256", address.sha256)
    failures: list[str] = []
    for url in find_distribution(address.project, address.filename, settings):
        try:
            fetch_file(url, target, checksum, progress, certificates=settings.certificates)
        except UnreachableError as error:
            failures.append(str(error))
            continue
        try:
            return address.rebuild(read_members(target, address.members))
        finally:
            target.unlink(missing_ok=True)
    raise UnreachableError("; ".join(failures), where=address.filename)


def _described(address: Address) -> str:
    if isinstance(address, ZipAddress):
        return shown(address.url)
    return f"{address.filename} of the package index"


def _verify(source: Source, members: Members, where: str) -> None:
    for name, known in source.files.items():
        found = hashlib.sha256(members[name]).hexdigest()
        if found not in known:
            raise CheckError(
                f"{name} is not the published file: expected SHA-256 {known[0]}, got {found}",
                where=where,
                hint="Nothing of it was kept. Give the files with "
                f"`reclora prepare {source.name} --from PATH`.",
            )


def _keep(folder: Path, members: Mapping[str, bytes]) -> None:
    with atomic_folder(folder) as temporary:
        for name, content in members.items():
            (temporary / name).write_bytes(content)


def _is_genuine(source: Source, folder: Path) -> bool:
    return all(_has_genuine(source, folder, name) for name in source.files)


def _has_genuine(source: Source, folder: Path, name: str) -> bool:
    file = folder / name
    return file.is_file() and hash_file(file) in source.files[name]
