"""A source's genuine files: from a folder or zip the user gives, the cache, or the network.

Each address of the source is tried in turn; the next one only when an address cannot be reached.
A file that arrives with a wrong checksum ends the search: that is an alarm, not an outage.

A download grows in ``downloads/.NAME.fetching``, which an interruption leaves for the next call to
go on with, and takes its place as ``downloads/NAME`` when it is whole and verified.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from reclora_cli.data.download.addresses import Gathering, described, gather
from reclora_cli.data.download.connection import UnreachableError
from reclora_cli.data.download.given import take_given
from reclora_cli.data.download.kept import downloads_folder, missing_from, write_note
from reclora_cli.data.download.terms import Confirm, require_accepted
from reclora_cli.data.sources.base import Source, ZipAddress
from reclora_cli.errors import MissingInputError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.workspace import explain_os_errors


def fetch(
    source: Source,
    *,
    given: Path | None = None,
    confirm: Confirm | None = None,
    thorough: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """A folder that holds ``source.files`` (of the user's own data: the path that is given).

    Args:
        source: the dataset.
        given: folder or zip of the original files. They may differ from the published ones (a
            warning says so).
        confirm: asks a person to accept the terms of use, once, before the first download;
            ``None``: there is nobody to ask.
        thorough: hash kept files again, also those that seem unchanged.
        progress: told which address is tried, and how much has come.

    Raises:
        UsageError: the terms are not accepted, and nobody can be asked.
        MissingInputError: a file is missing in ``given``, or no address can be reached.
        CheckError: a download is not what was published.
        RecloraError: the terms are refused, an archive is cut off, the connection was lost, or the
            disk is full.
    """
    if given is not None:
        return take_given(source, Path(given), progress)
    if not source.addresses:
        raise MissingInputError(
            f"{source.label} is fetched from nowhere",
            where=source.name,
            hint="Name its file or folder with --from.",
        )
    folder = downloads_folder() / source.name
    with explain_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(source, folder, progress):
            missing = missing_from(source, folder, thorough=thorough)
            if missing:
                require_accepted(source, confirm)
                _download(source, folder, missing, progress)
    return folder


@contextmanager
def _alone(source: Source, folder: Path, progress: Progress) -> Iterator[None]:
    """Hold the source's place in the cache; wait while another process does."""
    lock = FileLock(folder.with_name(f".{source.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.say(f"another reclora is fetching {source.name}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(source: Source, folder: Path, missing: list[str], progress: Progress) -> None:
    gathering = Gathering(folder.with_name(f".{source.name}.fetching"))
    _bring_over(source, folder, missing, gathering)
    failures: list[UnreachableError] = []
    for address in source.addresses:
        try:
            hashes = gather(source, address, gathering, progress)
        except UnreachableError as error:
            failures.append(error)
            progress.say(f"{described(address)}: {error.what}")
            continue
        write_note(gathering.files, hashes, described(address))
        _take_place(gathering, folder)
        return
    raise _nowhere(source, failures)


def _bring_over(source: Source, folder: Path, missing: list[str], gathering: Gathering) -> None:
    """Files that are kept as they should be need not be fetched again."""
    gathering.begin()
    for name in source.files:
        if name not in missing:
            (folder / name).replace(gathering.files / name)


def _take_place(gathering: Gathering, folder: Path) -> None:
    if folder.exists():
        folder.replace(gathering.root / "old")
    gathering.files.replace(folder)
    gathering.drop()


def _nowhere(source: Source, failures: list[UnreachableError]) -> MissingInputError:
    tried = "\n".join(
        f"  {described(at)}: {why.what}" for at, why in zip(source.addresses, failures, strict=True)
    )
    advice = list(dict.fromkeys(why.hint for why in failures if why.hint))
    advice.append(
        "Or fetch the files by other means, on any machine, and run "
        f"`reclora prepare {source.name} --from PATH`."
    )
    advice += [
        f"MD5 of the archive as published: {at.checksum_url}"
        for at in source.addresses
        if isinstance(at, ZipAddress)
    ]
    return MissingInputError(
        f"{source.label} cannot be fetched. Tried:\n{tried}",
        where=source.name,
        hint="\n".join(advice),
    )
