"""Where artefacts lie, and how they come to lie there whole.

A workspace is a folder:

    workspace.json                        format number
    datasets/<dataset>/store/             prepare
    datasets/<dataset>/index/<name>/      build-index   (name ends in a recipe fingerprint)
    datasets/<dataset>/crm/<name>/        pretrain-crm
    datasets/<dataset>/sequences/         prepare, of the task next
    datasets/<dataset>/encoders/<name>/   pretrain-crm, of the task next
    datasets/<dataset>/texts/<encoder>/   vectors of texts that CTR-BERT reads; made when missing
    datasets/<dataset>/tune/<name>/       pretrain-crm --tune: trials, and the recipe they led to
    datasets/<dataset>/runs/<name>/       finetune; scores/ below it come from evaluate
    datasets/<dataset>/exports/<run>/     export: PEFT adapters

An artefact is finished when its ``manifest.json`` exists; that file is written last. Every file
is written under a temporary name and renamed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.processes import ALONE, Processes, require_alone

FORMAT = 1
MANIFEST = "manifest.json"
_WRITES_FOR = "RECLORA_WRITES_FOR"
"""Environment variable: the process that holds a workspace for the one that it started."""

_LASTING = (".npy", ".parquet", ".safetensors", ".faiss")
_LASTING_FOLDERS = ("", "adapter")
_CACHED = ("representations.safetensors",)
"""R_c of a run's shots: made again whenever it does not fit."""

_PACKAGES = ("reclora", "torch", "transformers", "peft", "numpy", "pandas")


@dataclass(frozen=True)
class Manifest:
    """What made an artefact.

    Attributes:
        stage: the command that wrote it, e.g. ``pretrain-crm``.
        fingerprint: SHA-256 of the recipe parts that decide it.
        recipe: those parts, as plain values.
        inputs: name of each input artefact or file -> its identity (see ``Artefact.identity``).
        figures: what the stage wants told again when it is up to date.
        files: SHA-256 of each array, table and weights below the artefact, by relative path; what
            ``reclora doctor`` holds them against. Artefacts of earlier versions have none.
    """

    stage: str
    fingerprint: str
    recipe: dict[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    written: str = ""
    git_revision: str = ""
    machine: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True)
class Artefact:
    """One folder that a stage writes."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def manifest(self) -> Manifest | None:
        """Its manifest when it is finished, else ``None``.

        Raises:
            RecloraError: the manifest is of another format, or unreadable.
        """
        file = self.path / MANIFEST
        if not file.is_file():
            return None
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            _check_format(content.get("format"), file)
            return Manifest(**content)
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError, AttributeError) as error:
            raise RecloraError(
                f"unreadable manifest ({error})",
                where=str(file),
                hint=f"Remove the folder {self.path} and make it again.",
            ) from None

    def identity(self) -> str:
        """Hash of the manifest: changes whenever the artefact is written anew."""
        return hashlib.sha256((self.path / MANIFEST).read_bytes()).hexdigest()[:16]

    def changes(self, fingerprint: str, inputs: Mapping[str, str]) -> list[str] | None:
        """What keeps it from being up to date: ``[]`` nothing, ``None`` it is not finished."""
        manifest = self.manifest()
        if manifest is None:
            return None
        changed = ["recipe"] if manifest.fingerprint != fingerprint else []
        known = manifest.inputs
        changed += [
            name for name in sorted({*known, *inputs}) if known.get(name) != inputs.get(name)
        ]
        return changed

    def finish(self, manifest: Manifest) -> Manifest:
        """Write the manifest, with time, versions, revision, machine and hashes filled in."""
        full = Manifest(
            **{
                **asdict(manifest),
                "written": datetime.now(UTC).isoformat(timespec="seconds"),
                "git_revision": git_revision(),
                "machine": f"{platform.machine()} {platform.system()} {os.cpu_count()} cores",
                "versions": installed_versions(),
                "files": {name: hash_file(self.path / name) for name in self.lasting_files()},
            }
        )
        write_json(self.path / MANIFEST, asdict(full))
        return full

    def count_as_latest(self) -> None:
        """Sort after all others, as if it had just been made: it was asked for again."""
        with suppress(PermissionError):  # A workspace that is read only keeps its order.
            os.utime(self.path / MANIFEST)

    def lasting_files(self) -> list[str]:
        """Relative paths of the arrays, tables and weights that are whole and stay as they are
        once it is finished, in name order."""
        found = [path for folder in _LASTING_FOLDERS for path in (self.path / folder).glob("*")]
        return sorted(
            path.relative_to(self.path).as_posix()
            for path in found
            if path.suffix in _LASTING and path.name not in _CACHED and path.name[0] != "."
        )

    def unfinish(self) -> None:
        """Take the manifest away before files change: a half-made artefact is never used."""
        (self.path / MANIFEST).unlink(missing_ok=True)


class Workspace:
    """The folder that holds datasets, indexes, CRMs and runs."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._holding = False

    @classmethod
    def find(cls, path: str | Path | None = None) -> Workspace:
        """``path``, else ``RECLORA_WORKSPACE``, else ``./reclora-workspace``.

        Raises:
            RecloraError: it was written by another format of reclora.
        """
        root = Path(path or os.environ.get("RECLORA_WORKSPACE") or "reclora-workspace")
        if root.exists() and not root.is_dir():
            raise UsageError("not a folder", where=str(root))
        file = root / "workspace.json"
        if file.is_file():
            try:
                content = json.loads(file.read_text(encoding="utf-8"))
            except (json.JSONDecodeError, UnicodeDecodeError):
                content = None
            _check_format(content.get("format") if isinstance(content, dict) else None, file)
        return cls(root)

    def dataset(self, name: str) -> Path:
        return self.root / "datasets" / name

    def store(self, dataset: str) -> Artefact:
        return Artefact(self.dataset(dataset) / "store")

    def sequences(self, dataset: str) -> Artefact:
        return Artefact(self.dataset(dataset) / "sequences")

    def encoder(self, dataset: str, name: str) -> Artefact:
        return Artefact(self.dataset(dataset) / "encoders" / name)

    def index(self, dataset: str, name: str) -> Artefact:
        return Artefact(self.dataset(dataset) / "index" / name)

    def crm(self, dataset: str, name: str) -> Artefact:
        return Artefact(self.dataset(dataset) / "crm" / name)

    def texts(self, dataset: str, name: str) -> Path:
        return self.dataset(dataset) / "texts" / name

    def run(self, dataset: str, name: str) -> Artefact:
        return Artefact(self.dataset(dataset) / "runs" / name)

    def dataset_folders(self) -> list[str]:
        """Names of all datasets that anything is kept of, prepared or not."""
        folder = self.root / "datasets"
        inside = folder.iterdir() if folder.is_dir() else ()
        return sorted(path.name for path in inside if path.is_dir() and path.name[0] != ".")

    def artefacts(self, dataset: str, kind: str) -> list[Artefact]:
        """Artefacts of a kind (``index``, ``crm``, ``runs``), oldest first; unfinished ones too."""
        folder = self.dataset(dataset) / kind
        inside = folder.iterdir() if folder.is_dir() else ()
        # Names with a dot are half-written: see ``atomic_folder``.
        found = [Artefact(path) for path in inside if path.is_dir() and path.name[0] != "."]
        return sorted(found, key=_age)

    def datasets(self) -> list[str]:
        """Names of the prepared datasets, the last prepared at the end."""
        folder = self.root / "datasets"
        found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        stores = [made(name) for name in found for made in (self.store, self.sequences)]
        finished = [store for store in stores if (store.path / MANIFEST).is_file()]
        names = [store.path.parent.name for store in sorted(finished, key=_age)]
        return [name for at, name in enumerate(names) if name not in names[at + 1 :]]

    @contextmanager
    def writing(self, together: Processes = ALONE) -> Iterator[None]:
        """Hold the workspace for writing; one process at a time. Within a hold another is free.

        Args:
            together: processes that train one model: the main one holds it for all of them.

        Raises:
            UsageError: several processes were started for what only one can do.
            RecloraError: another process holds it, named by its process id; or it cannot be made.
        """
        if together.alone:
            require_alone()
        if not together.main:
            yield
            return
        with explain_os_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            if not (self.root / "workspace.json").exists():
                write_json(self.root / "workspace.json", {"format": FORMAT})
        if self._holding or self._held_for_this_process():
            yield
            return
        lock = FileLock(self.root / ".lock")
        holder = self.root / ".lock-holder"
        try:
            with explain_os_errors(self.root):
                lock.acquire(timeout=0)
        except Timeout:
            who = holder.read_text().strip() if holder.exists() else "unknown"
            raise RecloraError(
                f"another reclora is writing here ({who})",
                where=str(self.root),
                hint="Wait for it, stop it, or use another folder with --workspace.",
            ) from None
        try:
            with explain_os_errors(self.root):
                holder.write_text(f"process {os.getpid()}: {' '.join(sys.argv[:2])}")
                self._holding = True
                yield
        finally:
            self._holding = False
            holder.unlink(missing_ok=True)
            lock.release()

    def writer(self) -> str | None:
        """Who holds the workspace for writing, as it says of itself; ``None``: nobody, or it is not
        ours to know, since this process may not write there.

        A look, not a hold: what it tells may change at once. It makes no file.
        """
        if self._holding or not (self.root / ".lock").exists():
            return None
        try:
            with FileLock(self.root / ".lock", timeout=0):
                return None
        except Timeout:
            holder = self.root / ".lock-holder"
            return holder.read_text().strip() if holder.exists() else "unknown"
        except OSError:
            return None

    def writing_for(self) -> dict[str, str]:
        """Environment of processes that this one starts while it holds the workspace for them.

        They must write artefacts of their own each, and end when this one does.
        """
        return {_WRITES_FOR: f"{os.getpid()} {self.root.resolve()}"}

    def _held_for_this_process(self) -> bool:
        return os.environ.get(_WRITES_FOR) == f"{os.getppid()} {self.root.resolve()}"


@contextmanager
def explain_os_errors(place: Path, option: str = "--workspace") -> Iterator[None]:
    """Turn a full disk or a refused write into a ``RecloraError`` that names the place.

    Args:
        option: the option that another place is given by.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            what, hint = (
                "the disk is full",
                "Free some space and repeat the command: nothing finished is lost.",
            )
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            what, hint = "no permission to write", f"Choose another folder with {option}."
        elif error.errno in {errno.ENOTDIR, errno.EEXIST}:
            what, hint = "a file stands where a folder must be", f"Move it, or use {option}."
        else:
            raise
        raise RecloraError(what, where=str(error.filename or place), hint=hint) from error


def require_place(file: Path, option: str) -> None:
    """That a file may be written there, folders that are not there yet too; ask before working.

    Raises:
        UsageError: at ``option``: a folder stands there, or a file where a folder must be, or there
            is no permission.
    """
    if file.is_dir():
        raise UsageError("a folder, and a file is wanted", where=option, hint="Name a file in it.")
    folder = next(one for one in file.absolute().parents if os.path.lexists(one))
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is a file, and a folder is wanted", where=option, hint="Name another place."
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        hint = "Name a file in a folder that you may write to."
        raise UsageError(f"no permission to write into {folder}", where=option, hint=hint)


@contextmanager
def atomic_file(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary neighbour of ``path``; rename it to ``path`` when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of ``path`` when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".old"))
            path.replace(old / path.name)
            temporary.replace(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            path.parent.rmdir()  # only if it is empty: nothing is left of what failed


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically."""
    with atomic_file(path, "w") as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")


def write_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8, atomically."""
    with atomic_file(path, "w") as file:
        file.write(content)


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def cache_folder() -> Path:
    """``RECLORA_CACHE``, else the platform's user cache."""
    named = os.environ.get("RECLORA_CACHE")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("reclora"))


def installed_versions() -> dict[str, str]:
    """Versions of the packages that decide figures."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str:
    """Revision of the checkout this package runs from; empty when it is installed elsewhere."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return ""
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return round(time.perf_counter() - self._start, 3)


def _age(artefact: Artefact) -> tuple[float, str]:
    file = artefact.path / MANIFEST
    return ((file if file.is_file() else artefact.path).stat().st_mtime, artefact.name)


def _check_format(found: Any, file: Path) -> None:
    if found != FORMAT:
        raise RecloraError(
            f"written by another version of reclora (format {found}, this one reads {FORMAT})",
            where=str(file),
            hint="Use the version that wrote it, or start a new folder with --workspace.",
        )
