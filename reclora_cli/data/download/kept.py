"""Original files kept in the cache, and what is noted of them.

Beside the files lies ``fetched.json``: where they came from, when, and each one's SHA-256, size and
time of change. As long as size and time are the same a file is not hashed again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from reclora_cli.data.sources.base import Source
from reclora_cli.workspace import cache_folder, hash_file, write_json

NOTE = "fetched.json"


@dataclass(frozen=True)
class KeptFile:
    """What is noted of one file.

    Attributes:
        sha256: hex digest of its content.
        bytes: its size.
        changed: time of its last change, in nanoseconds.
    """

    sha256: str
    bytes: int
    changed: int


def downloads_folder() -> Path:
    """Where verified original files are kept for all workspaces."""
    return cache_folder() / "downloads"


def known_hash(file: Path, *, thorough: bool = False) -> str:
    """SHA-256 of an original file; of a kept one that has not changed since, the noted one.

    Args:
        file: kept in the cache or anywhere else.
        thorough: hash it in any case.
    """
    kept = None if thorough else _note(file.parent).get(file.name)
    if kept is not None and _is_unchanged(file, kept):
        return kept.sha256
    return hash_file(file)


def write_note(folder: Path, hashes: Mapping[str, str], origin: str) -> None:
    """Note the SHA-256 of the files that have just been written into ``folder``."""
    files = {name: asdict(_kept(folder / name, sha256)) for name, sha256 in hashes.items()}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(folder / NOTE, {"from": origin, "time": now, "files": files})


def is_genuine(source: Source, folder: Path, name: str, *, thorough: bool = False) -> bool:
    """Whether a kept file is what was published or, where no hash is pinned, what was fetched."""
    file = folder / name
    noted = _note(folder).get(name)
    expected = source.files[name] or ((noted.sha256,) if noted else ())
    if not (expected and file.is_file()):
        return False
    return known_hash(file, thorough=thorough) in expected


def missing_from(source: Source, folder: Path, *, thorough: bool = False) -> list[str]:
    """The source's files that are not kept in ``folder``, or not as they should be."""
    return [
        name for name in source.files if not is_genuine(source, folder, name, thorough=thorough)
    ]


def is_intact(folder: Path, names: Iterable[str]) -> bool:
    """Whether each of the kept files is there and has not changed since it was noted."""
    noted = _note(folder)
    return all(
        name in noted and (folder / name).is_file() and _is_unchanged(folder / name, noted[name])
        for name in names
    )


def _note(folder: Path) -> dict[str, KeptFile]:
    # A note beside files that the user gives is anybody's: only the cache's own is believed.
    if downloads_folder() not in folder.parents:
        return {}
    try:
        content = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        return {name: KeptFile(**kept) for name, kept in content["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _kept(file: Path, sha256: str) -> KeptFile:
    state = file.stat()
    return KeptFile(sha256, state.st_size, state.st_mtime_ns)


def _is_unchanged(file: Path, kept: KeptFile) -> bool:
    return _kept(file, kept.sha256) == kept
