"""The vectors of all items: encoded block by block, so that a killed run loses one block.

vectors.partial        vectors so far, float32, in working order, one after the other
vectors.partial.json   what they are of: {"identity", "width", "sorted"}
vectors.npy            (n_items, d) float32 in item order, when all are there
vectors.json           {"identity", "width"}

Working order: equal texts once; ``SORTED`` texts at a time, shortest first, so that a batch holds
texts of like length and the rate stays even over a run.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.encoding.items import encode_tokens
from reclora_cli.encoding.tokens import TokenTable, distinct
from reclora_cli.lm.load import LoadedLm
from reclora_cli.progress import SILENT, Progress
from reclora_cli.workspace import Artefact, atomic_file, write_json

BLOCK = 256
"""Texts encoded between two writes."""
SORTED = 8_192
"""Texts sorted by length together."""

_BYTES = 4
_COPIED_AT_ONCE = 16_384
VECTORS, TOLD = "vectors.npy", "vectors.json"
PARTIAL, PARTIAL_TOLD = "vectors.partial", "vectors.partial.json"

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """Vectors (n_items, d), memory-mapped, and how many texts were encoded now."""

    vectors: Vectors
    encoded: int


def encode(
    texts: Sequence[str],
    identity: str,
    folder: Path,
    open_lm: Callable[[], LoadedLm],
    progress: Progress = SILENT,
    what: str = "items",
) -> Encoded:
    """Vectors of ``texts`` in ``folder``, going on where an earlier run was stopped.

    A run that was stopped gives the same vectors, bit for bit, as one that was not.

    Args:
        identity: of encoder and texts; what is there of another identity is discarded.
        open_lm: loads the encoder; called only when something is left to encode.
        what: the texts are of, for progress.
    """
    kept = read(folder, identity)
    if kept is not None:
        return Encoded(kept, 0)
    lm = open_lm()
    once, owner = distinct(texts)
    table = TokenTable.of(lm, once)
    order = working_order(table.lengths)
    done = _resume(folder, identity, lm.width)
    if done:
        progress.say(f"encoding goes on at {what} {done:,} of {len(order):,}")
    with (
        progress.task(f"encode {what}", total=len(order) - done, unit=what) as task,
        (folder / PARTIAL).open("ab") as file,
    ):
        for start in range(done, len(order), BLOCK):
            rows = [table[int(at)] for at in order[start : start + BLOCK]]
            file.write(np.ascontiguousarray(encode_tokens(lm, rows), dtype="<f4").tobytes())
            file.flush()
            os.fsync(file.fileno())
            task.advance(len(rows))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    _put_in_item_order(folder, place[owner], lm.width)
    _finish(folder, identity, lm.width)
    vectors = read(folder, identity)
    assert vectors is not None
    return Encoded(vectors, len(order) - done)


def read(folder: Path, identity: str) -> Vectors | None:
    """The finished vectors in ``folder``, memory-mapped, when they are of ``identity``."""
    if _told(folder / TOLD).get("identity") != identity or not (folder / VECTORS).is_file():
        return None
    return np.load(folder / VECTORS, mmap_mode="r")


def take(elsewhere: Path, identity: str, folder: Path) -> None:
    """Copy the finished vectors of another index."""
    (folder / TOLD).unlink(missing_ok=True)
    with atomic_file(folder / VECTORS) as file, (elsewhere / VECTORS).open("rb") as theirs:
        shutil.copyfileobj(theirs, file, 2**20)
    _finish(folder, identity, int(_told(elsewhere / TOLD)["width"]))


def find_elsewhere(identity: str, indexes: Iterable[Artefact]) -> Path | None:
    """Folder of another index that holds vectors of ``identity``."""
    for index in indexes:
        told = _told(index.path / TOLD).get("identity")
        if told == identity and (index.path / VECTORS).is_file():
            return index.path
    return None


def working_order(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Texts in the order they are encoded in: by length within each ``SORTED`` of them."""
    parts = [
        start + np.argsort(lengths[start : start + SORTED], kind="stable")
        for start in range(0, len(lengths), SORTED)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _put_in_item_order(folder: Path, place: NDArray[np.int64], width: int) -> None:
    """Write ``vectors.npy``: item i's vector stands at ``place[i]`` of the partial file."""
    (folder / TOLD).unlink(missing_ok=True)
    there = np.memmap(folder / PARTIAL, dtype="<f4", mode="r").reshape(-1, width)
    with atomic_file(folder / VECTORS) as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (len(place), width)}
        )
        for start in range(0, len(place), _COPIED_AT_ONCE):
            file.write(there[place[start : start + _COPIED_AT_ONCE]].tobytes())


def _finish(folder: Path, identity: str, width: int) -> None:
    write_json(folder / TOLD, {"identity": identity, "width": width})
    (folder / PARTIAL).unlink(missing_ok=True)
    (folder / PARTIAL_TOLD).unlink(missing_ok=True)


def _resume(folder: Path, identity: str, width: int) -> int:
    """Texts already encoded; the partial file is cut back to whole blocks, or begun anew."""
    partial = folder / PARTIAL
    told = {"identity": identity, "width": width, "sorted": SORTED}
    if _told(folder / PARTIAL_TOLD) != told or not partial.is_file():
        partial.unlink(missing_ok=True)
        write_json(folder / PARTIAL_TOLD, told)
        return 0
    done = partial.stat().st_size // (width * _BYTES)
    # Blocks start where they would have started, so that a resumed run gives equal vectors.
    done -= done % BLOCK
    os.truncate(partial, done * width * _BYTES)
    return done


def _told(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
