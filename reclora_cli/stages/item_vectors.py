"""The vectors of all items: encoded block by block, so that a killed run loses one block.

vectors.partial        vectors so far, float32, one after the other
vectors.partial.json   what they are of: {"identity", "width"}
vectors.npy            (n_items, d) float32, when all are there
vectors.json           {"identity", "width"}
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reclora_cli.encoding.items import encode_items
from reclora_cli.lm.load import LoadedLm
from reclora_cli.progress import SILENT, Progress
from reclora_cli.workspace import Artefact, atomic_file, write_json

BLOCK = 128
"""Items encoded between two writes."""

_BYTES = 4
VECTORS, TOLD = "vectors.npy", "vectors.json"
PARTIAL, PARTIAL_TOLD = "vectors.partial", "vectors.partial.json"

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """Vectors (n_items, d), and how many of them were encoded now."""

    vectors: Vectors
    encoded: int


def encode(
    texts: Sequence[str],
    identity: str,
    folder: Path,
    open_lm: Callable[[], LoadedLm],
    progress: Progress = SILENT,
) -> Encoded:
    """Vectors of ``texts`` in ``folder``, going on where an earlier run was stopped.

    Args:
        identity: of encoder and texts; what is there of another identity is discarded.
        open_lm: loads the encoder; called only when something is left to encode.
    """
    kept = read(folder, identity)
    if kept is not None:
        return Encoded(kept, 0)
    lm = open_lm()
    done = _resume(folder, identity, lm.width)
    if done:
        progress.say(f"encoding goes on at item {done:,} of {len(texts):,}")
    with (
        progress.task("encode items", total=len(texts) - done, unit="items") as task,
        (folder / PARTIAL).open("ab") as file,
    ):
        for start in range(done, len(texts), BLOCK):
            block = encode_items(lm, texts[start : start + BLOCK])
            file.write(np.ascontiguousarray(block, dtype="<f4").tobytes())
            file.flush()
            os.fsync(file.fileno())
            task.advance(len(block))
    vectors = np.fromfile(folder / PARTIAL, dtype="<f4").reshape(len(texts), lm.width)
    keep(vectors, identity, folder)
    return Encoded(vectors, len(texts) - done)


def read(folder: Path, identity: str) -> Vectors | None:
    """The finished vectors in ``folder`` when they are of ``identity``."""
    if _told(folder / TOLD).get("identity") != identity or not (folder / VECTORS).is_file():
        return None
    return np.load(folder / VECTORS)


def keep(vectors: Vectors, identity: str, folder: Path) -> None:
    """Write finished vectors, and take away what is unfinished."""
    (folder / TOLD).unlink(missing_ok=True)
    with atomic_file(folder / VECTORS) as file:
        np.save(file, vectors)
    write_json(folder / TOLD, {"identity": identity, "width": vectors.shape[1]})
    (folder / PARTIAL).unlink(missing_ok=True)
    (folder / PARTIAL_TOLD).unlink(missing_ok=True)


def find_elsewhere(identity: str, indexes: Iterable[Artefact]) -> Path | None:
    """Folder of another index that holds vectors of ``identity``."""
    for index in indexes:
        told = _told(index.path / TOLD).get("identity")
        if told == identity and (index.path / VECTORS).is_file():
            return index.path
    return None


def _resume(folder: Path, identity: str, width: int) -> int:
    """Items already encoded; the partial file is cut back to whole vectors, or begun anew."""
    partial, told = folder / PARTIAL, {"identity": identity, "width": width}
    if _told(folder / PARTIAL_TOLD) != told or not partial.is_file():
        partial.unlink(missing_ok=True)
        write_json(folder / PARTIAL_TOLD, told)
        return 0
    done = partial.stat().st_size // (width * _BYTES)
    # Blocks start where they would have started, so that a resumed run gives equal vectors.
    done -= done % BLOCK
    os.truncate(partial, done * width * _BYTES)
    return done


def _told(file: Path) -> dict[str, object]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
