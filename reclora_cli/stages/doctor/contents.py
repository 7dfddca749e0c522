"""Whether files of an artefact are what they should be: by their hashes, else by opening them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors

from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.data.store import InteractionsStore
from reclora_cli.lora.adapter import TENSORS, read_config
from reclora_cli.retrieval.catalogue import CatalogueIndex
from reclora_cli.stages import runs
from reclora_cli.stages.similar import CATALOGUE
from reclora_cli.workspace import Artefact, hash_file


class Broken(Exception):
    """Something of an artefact is not as it was written."""


def require_recorded(folder: Path, files: dict[str, str]) -> None:
    """Each file that the manifest tells of is there, with the content that it tells.

    Raises:
        Broken: one is not.
    """
    for name, expected in files.items():
        file = folder / name
        if not file.is_file():
            raise Broken(f"{name} is missing")
        if hash_file(file) != expected:
            raise Broken(f"{name} is not what was written: its SHA-256 is another")


def _check_store(folder: Path) -> int:
    """Its arrays have the lengths that its header tells."""
    store = InteractionsStore(folder)
    header = store.header
    lengths = {
        **dict.fromkeys(("user", "item", "rating", "time", "label"), header.behaviours),
        **dict.fromkeys(("row_position", "history_end"), header.rows),
        "user_start": header.users + 1,
        "user_fields": header.users,
        "item_fields": header.items,
    }
    for name, length in lengths.items():
        if len(getattr(store, name)) != length:
            raise Broken(f"{name}.npy holds {len(getattr(store, name))} entries, not {length}")
    if (len(store.users), len(store.items)) != (header.users, header.items):
        raise Broken("users.parquet or items.parquet is of another store")
    for field in (*header.user_fields, *header.item_fields):
        store.vocabulary(field)
    return 0


def _check_sequences(folder: Path) -> int:
    store = SequenceStore(folder)
    if not store.is_intact():
        raise Broken("an array or a title is not what was written: its SHA-256 is another")
    return len(list(folder.glob("*.npy")))


def _check_index(folder: Path) -> int:
    """Its arrays and its catalogue open."""
    for name in ("vectors.npy", "reduced.npy", "pca_mean.npy", "pca_components.npy"):
        _open_array(folder / name)
    if (folder / CATALOGUE).exists():
        try:
            CatalogueIndex.load(folder / CATALOGUE)
        except RuntimeError:
            raise Broken(f"{CATALOGUE} cannot be opened") from None
    return 0


def _check_weights(folder: Path) -> int:
    """Its weights and configuration open."""
    _open_settings(folder)
    _open_tensors(folder / "model.safetensors")
    return 0


def _check_run(folder: Path) -> int:
    """Its recipe loads, its shots open, its adapter has the hash that its configuration tells."""
    runs.recipe_of(Artefact(folder))
    _open_array(folder / runs.SHOTS_FILE)
    adapter = folder / "adapter"
    tensors = sorted(adapter.glob("*.safetensors"))
    if not tensors:
        raise Broken("its adapter is missing")
    for file in tensors:
        _open_tensors(file)
    _open_settings(adapter)
    if tensors[0].name != TENSORS:
        return 0  # PEFT's, which tells no hash.
    if hash_file(adapter / TENSORS) != read_config(adapter).sha256:
        raise Broken(f"{TENSORS} is not what was written: its SHA-256 is another")
    return 1


def _open_settings(folder: Path) -> None:
    """Its ``<kind>_config.json`` is an object that holds something."""
    found = sorted(folder.glob("*_config.json"))
    if not found:
        raise Broken("its configuration, a file *_config.json, is missing")
    try:
        told = json.loads(found[0].read_text(encoding="utf-8"))
    except ValueError as error:
        raise Broken(f"{found[0].name} cannot be read ({error})") from error
    if not isinstance(told, dict) or not told:
        raise Broken(f"{found[0].name} tells nothing")


def _open_array(file: Path) -> None:
    if not file.is_file():
        raise Broken(f"{file.name} is missing")
    try:
        np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise Broken(f"{file.name} cannot be opened ({error})") from error


def _open_tensors(file: Path) -> None:
    if not file.is_file():
        raise Broken(f"{file.name} is missing")
    try:
        with safetensors.safe_open(file, framework="numpy") as opened:
            opened.keys()
    except (OSError, safetensors.SafetensorError) as error:
        raise Broken(f"{file.name} cannot be opened ({error})") from error


OWN_CHECKS: dict[str, Callable[[Path], int]] = {
    "store": _check_store,
    "sequences": _check_sequences,
    "index": _check_index,
    "crm": _check_weights,
    "encoder": _check_weights,
    "run": _check_run,
}
"""What each kind can tell of itself beside the manifest; the number of files it hashed."""
