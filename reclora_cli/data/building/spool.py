"""A source's interactions as codes on disk, in file order: the one pass over the originals."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reclora_cli.data.building.columns import INTERACTION, Columns
from reclora_cli.data.building.vocabulary import Vocabulary
from reclora_cli.data.sources.base import Chunk, RawDataset, Source
from reclora_cli.errors import RecloraError
from reclora_cli.progress import SILENT, Progress

MOST_RATINGS = 255


@dataclass
class Spool:
    """Interactions of ``columns.INTERACTION``, with what their codes stand for.

    Attributes:
        users, items: codes in order of first appearance.
        ratings: the value of each rating code.
        file: the file they came from, for errors.
    """

    columns: Columns
    users: Vocabulary = field(default_factory=Vocabulary)
    items: Vocabulary = field(default_factory=Vocabulary)
    ratings: list[float] = field(default_factory=list)
    file: Path | None = None

    def __len__(self) -> int:
        return len(self.columns)

    def take(self, chunk: Chunk, scale: tuple[float, ...] | None) -> None:
        """Write one chunk behind what is there.

        Raises:
            RecloraError: a rating off the scale, or more different ratings than can be coded.
        """
        records = np.empty(len(chunk), dtype=INTERACTION)
        records["rating"] = self._rating_codes(chunk, scale)
        records["user"] = self.users.encode(chunk.users, chunk.lines)
        records["item"] = self.items.encode(chunk.items, chunk.lines)
        records["time"] = chunk.times
        self.file = chunk.file
        self.columns.append(records)

    def _rating_codes(self, chunk: Chunk, scale: tuple[float, ...] | None) -> NDArray[np.uint8]:
        local = pc.dictionary_encode(pa.array(chunk.ratings))
        values = local.dictionary.to_pylist()
        if scale is not None and not set(values) <= set(scale):
            off = np.flatnonzero(~np.isin(chunk.ratings, scale))
            raise _off_scale(chunk, int(off[0]), scale)
        self.ratings += [value for value in values if value not in self.ratings]
        if len(self.ratings) > MOST_RATINGS:
            raise RecloraError(
                f"more than {MOST_RATINGS} different ratings: this is not a rating scale",
                where=str(chunk.file),
                hint="Round the ratings, or name the column of a like/dislike label instead.",
            )
        place = np.array([self.ratings.index(value) for value in values], dtype=np.uint8)
        return place[local.indices.to_numpy()]


def spool(raw: RawDataset, source: Source, file: Path, progress: Progress = SILENT) -> Spool:
    """Read all interactions of ``raw`` once, into ``file``.

    Raises:
        RecloraError: a line does not fit, or there is none at all.
    """
    found = Spool(Columns(file, INTERACTION))
    with progress.task("read interactions", None, "interactions") as task:
        for chunk in raw.interactions():
            found.take(chunk, source.rating_values)
            task.advance(len(chunk))
    if not len(found):
        reasons = ", ".join(f"{n:,} {why}" for why, n in raw.left_out().items() if n)
        raise RecloraError(
            "there are no interactions" + (f" left ({reasons})" if reasons else ""),
            where=source.name,
            hint="Look at the file and, for your own data, at the columns that the recipe names.",
        )
    return found


def _off_scale(chunk: Chunk, at: int, scale: tuple[float, ...]) -> RecloraError:
    return RecloraError(
        f"rating {chunk.ratings[at]:g} is off the scale",
        where=chunk.where(at),
        hint=f"Expected one of {', '.join(f'{value:g}' for value in scale)}.",
    )
