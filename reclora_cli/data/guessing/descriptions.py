"""Which other file of the folder describes the items (or users), and which columns are worth it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reclora_cli.data.guessing.columns import ITEMS, USERS, found_nulls, words_of
from reclora_cli.data.guessing.sample import Sample, take_sample
from reclora_cli.data.reading.table import read_rows
from reclora_cli.data.reading.values import as_text
from reclora_cli.errors import RecloraError
from reclora_cli.recipe.tables import FieldColumn

ITEM_FIELDS: Mapping[str, tuple[str, ...]] = {
    "title": ("title", "name", "appname"),
    "author": ("author", "authors", "writer"),
    "artist": ("artist", "artists", "band"),
    "brand": ("brand", "maker", "manufacturer", "developer"),
    "genre": ("genre", "genres"),
    "category": ("category", "categories"),
    "year": ("year", "published"),
    "publisher": ("publisher",),
    "language": ("language", "lang"),
}
USER_FIELDS: Mapping[str, tuple[str, ...]] = {
    "gender": ("gender", "sex"),
    "age": ("age",),
    "job": ("job", "occupation", "profession"),
    "country": ("country",),
    "location": ("location", "city", "region"),
}
_ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".txt", ".dat")
_LARGEST = 2 * 2**30
_ENOUGH = 0.3
_OPTIONAL = 0.98
"""Below this share of described ids, interactions of the others are dropped."""


@dataclass(frozen=True)
class Described:
    """A file that describes what an id of the interactions stands for.

    Attributes:
        sample: its first rows; of the interactions file itself when it holds the fields.
        key: its column of ids.
        share: of the sampled ids, those it describes.
        fields: name -> column.
        empty: texts that mean that there is no value.
    """

    sample: Sample
    key: str | None
    share: float
    fields: dict[str, FieldColumn | str]
    empty: tuple[str, ...] = ("",)
    others: tuple[str, ...] = field(default=())

    @property
    def is_complete(self) -> bool:
        return self.share >= 1.0


def guess_descriptions(
    sample: Sample, id_column: str, known: Mapping[str, tuple[str, ...]], taken: set[str]
) -> Described | None:
    """The file beside ``sample``'s that describes the ids of ``id_column``, or its own columns.

    Args:
        known: field -> words of the columns that are such a field.
        taken: columns of the interactions file that are something else.
    """
    if id_column not in sample.columns:
        return None
    ids = pd.Index(sample.columns[id_column].unique().drop_null().to_pandas())
    found = [_matched(path, ids, id_column, known) for path in _beside(sample.path)]
    good = [described for described in found if described and described.share >= _ENOUGH]
    best = max(good, key=lambda each: (len(each.fields), each.share), default=None)
    if best is not None and best.fields:
        return best
    inside = _fields(sample, known, taken | _of_the_other(sample, known))
    nulls = found_nulls(sample, _columns(inside))
    return Described(sample, None, 1.0, inside, nulls) if inside else None


def _of_the_other(sample: Sample, known: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Columns that say whom they describe: a reviewerName is no title."""
    others = USERS if known is ITEM_FIELDS else ITEMS
    return {name for name in sample.columns if set(words_of(name)) & set(others)}


def _beside(path: Path) -> list[Path]:
    files = [
        other
        for other in sorted(path.absolute().parent.iterdir())
        if other.is_file() and other.resolve() != path.resolve()
    ]
    return [
        other
        for other in files
        if other.name.lower().removesuffix(".gz").endswith(_ENDINGS)
        and other.stat().st_size <= _LARGEST
    ]


def _matched(
    path: Path, ids: pd.Index[str], id_column: str, known: Mapping[str, tuple[str, ...]]
) -> Described | None:
    try:
        sample = take_sample(path)
        keys = [name for name in sample.columns if _may_be_key(name, id_column)]
        unique = [name for name in keys if _is_nearly_unique(sample.columns[name])]
        shares = {name: _share(sample, name, ids) for name in unique}
    except RecloraError:
        return None
    if not shares:
        return None
    key = max(shares, key=lambda name: (name == id_column, shares[name]))
    fields = _fields(sample, known, {key})
    mapped = _columns(fields)
    others = tuple(name for name in sample.columns if name != key and name not in mapped)
    return Described(sample, key, shares[key], fields, found_nulls(sample, mapped), others)


def _columns(fields: Mapping[str, FieldColumn | str]) -> list[str]:
    return [column if isinstance(column, str) else column.column for column in fields.values()]


def _may_be_key(name: str, id_column: str) -> bool:
    return name == id_column or "".join(words_of(name)).endswith(("id", "isbn", "asin", "key"))


def _is_nearly_unique(values: pa.Array) -> bool:
    return len(values.unique()) > 0.8 * len(values)


def _share(sample: Sample, key: str, ids: pd.Index[str]) -> float:
    """Share of ``ids`` that stand in the file's column ``key``."""
    seen = np.zeros(len(ids), dtype=bool)
    for rows in read_rows(sample.file, [key]):
        places = ids.get_indexer(as_text(rows.columns[key]).to_pandas())
        seen[places[places >= 0]] = True
    return float(seen.mean()) if len(ids) else 0.0


def _fields(
    sample: Sample, known: Mapping[str, tuple[str, ...]], taken: set[str]
) -> dict[str, FieldColumn | str]:
    found: dict[str, FieldColumn | str] = {}
    used = set(taken)
    for field_name, words in known.items():
        column = _best_column(sample, words, used)
        if column is not None:
            used.add(column)
            found[field_name] = _read_as(sample, column)
    return found


def _best_column(sample: Sample, words: tuple[str, ...], used: set[str]) -> str | None:
    """The column called just so, else the shortest name that says one of the words."""
    names = [name for name in sample.columns if name not in used and len(sample.columns[name])]
    just_so = [name for name in names if "".join(words_of(name)) in words]
    saying = [name for name in names if set(words_of(name)) & set(words) and not _is_link(name)]
    return min(just_so, key=len, default=None) or min(saying, key=len, default=None)


def _is_link(name: str) -> bool:
    return bool({"id", "url", "image", "count", "link"} & set(words_of(name)))


def _read_as(sample: Sample, column: str) -> FieldColumn | str:
    """Several values in one: the first; years like 2008.0: what stands before the point."""
    if column in sample.lists:
        return FieldColumn(column=column, first_of="")
    values = sample.columns[column].drop_null()
    if len(values) and pc.mean(pc.match_substring(values, "|").cast("int8")).as_py() > 0.1:
        return FieldColumn(column=column, first_of="|")
    said = values.filter(pc.not_equal(values, ""))
    if len(said) and pc.all(pc.match_substring_regex(said, r"^-?\d+\.0$")).as_py():
        return FieldColumn(column=column, first_of=".")
    return column


def drops_undescribed(*described: Described | None) -> bool:
    """Whether some ids of the sample are described nowhere."""
    return any(each is not None and not each.is_complete for each in described)
