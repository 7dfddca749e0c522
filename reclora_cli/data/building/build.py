"""From a source's interactions to the interactions store (method.md section 3).

Global order is (timestamp, user, item). The first ``warm_up`` interactions of each user are
history only. The remaining ones, in global order, are the rows; they are split by position in
that order, so every validation row comes after every training row.

Interactions go through the disk in pieces: memory holds users and items and their texts, some
bytes for each interaction, and one piece.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reclora_cli.data import schema
from reclora_cli.data.building.columns import INTERACTION, PIECE
from reclora_cli.data.building.csr import Relabelling, write_csr
from reclora_cli.data.building.keeping import described, k_core
from reclora_cli.data.building.rows import write_rows
from reclora_cli.data.building.spool import Spool, spool
from reclora_cli.data.building.vocabulary import Vocabulary
from reclora_cli.data.sources.base import Ids, RawDataset, Source
from reclora_cli.data.store import InteractionsStore, Ints, StoreHeader
from reclora_cli.errors import RecloraError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe.tree import DataRecipe

Bools = NDArray[np.bool_]

MOST_BEHAVIOURS = 2**31 - 1
"""Positions are int32."""


@dataclass(frozen=True)
class Built:
    """What was built, and what was not.

    Attributes:
        read: interactions that the reader gave.
        left_out: interactions that are not in the store, by reason; the reader's own too.
    """

    header: StoreHeader
    read: int
    left_out: Mapping[str, int]


def build_store(
    raw: RawDataset,
    source: Source,
    recipe: DataRecipe,
    folder: Path,
    progress: Progress = SILENT,
    *,
    piece: int = PIECE,
) -> Built:
    """Write the store of ``raw`` into ``folder``.

    Args:
        piece: interactions that are sorted at once.

    Raises:
        RecloraError: a rating off the source's scale, a user or item that no file describes,
            nothing left, or too few interactions to split.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".spool.") as temporary:
        spooled = spool(raw, source, Path(temporary) / "interactions", progress)
        kept, users, items, left_out = _keep(spooled, raw, source, recipe)
        user_ids, user_places = spooled.users.ranks(_met(spooled, "user", kept))
        item_ids, item_places = spooled.items.ranks(_met(spooled, "item", kept))
        scale = source.rating_values or tuple(_ratings_of(spooled, kept))
        rating_places = np.array(
            [scale.index(value) if value in scale else 0 for value in spooled.ratings]
        )
        relabelling = Relabelling(user_places, item_places, rating_places, kept)
        likes = np.asarray(scale) >= recipe.like_from
        repeated = write_csr(spooled.columns, relabelling, folder, len(user_ids), likes, piece)
        read = len(spooled)
    rows = write_rows(folder, recipe.warm_up, recipe.ties, piece)
    tables = _in_order(users, schema.USER, user_ids), _in_order(items, schema.ITEM, item_ids)
    split = split_sizes(rows, recipe.split)
    header = _describe(source, recipe, scale, folder, tables, split)
    left_out |= {"repeated": repeated} if repeated else {}
    return Built(header, read, {**raw.left_out(), **left_out})


def split_sizes(rows: int, shares: tuple[int, int, int]) -> tuple[int, int, int]:
    """Rows of train, valid and test: the first two rounded down, the rest to test.

    Raises:
        RecloraError: one of them would be empty.
    """
    train, valid = (rows * share // sum(shares) for share in shares[:2])
    sizes = (train, valid, rows - train - valid)
    if min(sizes) < 1:
        raise RecloraError(
            f"{rows} rows are too few for a split of {shares[0]}:{shares[1]}:{shares[2]}",
            where="data.split",
            hint="Give more data, a smaller data.warm_up or data.core, or another data.split.",
        )
    return sizes


def _keep(
    spooled: Spool, raw: RawDataset, source: Source, recipe: DataRecipe
) -> tuple[Bools, pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Which interactions stay, the descriptions of users and items, and what was left out."""
    user_ids, item_ids = spooled.users.ids(), spooled.items.ids()
    users, items = raw.users(user_ids), raw.items(item_ids)
    known_users = _known(user_ids, users, schema.USER)
    known_items = _known(item_ids, items, schema.ITEM)
    if source.undescribed == "error":
        _require_described(spooled, spooled.users, known_users, "user")
        _require_described(spooled, spooled.items, known_items, source.noun)
    kept = described(spooled, known_users, known_items)
    left_out = {"not described": int((~kept).sum())} if not kept.all() else {}
    if recipe.core:
        records = np.memmap(spooled.columns.file, dtype=INTERACTION, mode="r")
        core = k_core(records["user"], records["item"], kept, recipe.core)
        left_out[f"outside the {recipe.core}-core"] = int(kept.sum() - core.sum())
        kept = core
    if int(kept.sum()) > MOST_BEHAVIOURS:
        raise RecloraError(
            f"{int(kept.sum()):,} interactions: a store holds {MOST_BEHAVIOURS:,} at most",
            where=source.name,
            hint="Partition the data by user: see docs/scale.md.",
        )
    if not kept.any():
        reasons = ", ".join(f"{n:,} {why}" for why, n in left_out.items())
        raise RecloraError(
            f"no interaction is left of {len(spooled):,} ({reasons})",
            where="data.core" if recipe.core else source.name,
            hint="Give more data, or a smaller data.core.",
        )
    return kept, users, items, left_out


def _known(ids: Ids, table: pd.DataFrame, key: str) -> Bools:
    """Of each id whether ``table`` has it."""
    return np.asarray(ids.to_pandas().isin(table[key]))


def _require_described(spooled: Spool, of: Vocabulary, known: Bools, noun: str) -> None:
    unknown = np.flatnonzero(~known)
    if len(unknown):
        first = int(unknown[0])
        raise RecloraError(
            f"{noun} {of.ids()[first].as_py()} is described nowhere"
            + (f", nor are {len(unknown) - 1:,} others" if len(unknown) > 1 else ""),
            where=f"{spooled.file}:{of.first_line(first)}",
            hint="Fetch the files again: they do not belong together.",
        )


def _met(spooled: Spool, key: str, kept: Bools) -> Bools:
    """Of each code of ``key`` whether an interaction that stays has it."""
    met = np.zeros(len(spooled.users if key == "user" else spooled.items), dtype=bool)
    done = 0
    for piece in spooled.columns.pieces():
        met[piece[key][kept[done : done + len(piece)]]] = True
        done += len(piece)
    return met


def _ratings_of(spooled: Spool, kept: Bools) -> list[float]:
    """The ratings of the interactions that stay, ascending."""
    met = np.zeros(len(spooled.ratings), dtype=bool)
    done = 0
    for piece in spooled.columns.pieces():
        met[piece["rating"][kept[done : done + len(piece)]]] = True
        done += len(piece)
    return sorted(value for value, is_met in zip(spooled.ratings, met, strict=True) if is_met)


def _in_order(table: pd.DataFrame, key: str, ids: Ids) -> pd.DataFrame:
    """The rows of ``table`` for ``ids``, in their order."""
    places = pd.Index(table[key]).get_indexer(ids.to_pandas())
    assert (places >= 0).all(), "only what is described stays"
    return table.iloc[places].reset_index(drop=True)


def _describe(
    source: Source,
    recipe: DataRecipe,
    scale: tuple[float, ...],
    folder: Path,
    tables: tuple[pd.DataFrame, pd.DataFrame],
    split: tuple[int, int, int],
) -> StoreHeader:
    """Write fields, vocabularies, texts and header."""
    users, items = tables
    user_codes, user_values = _encode(users, source.user_fields)
    item_codes, item_values = _encode(items, source.item_fields)
    vocabularies = {**user_values, **item_values}
    header = StoreHeader(
        dataset=source.name,
        users=len(users),
        items=len(items),
        behaviours=len(np.load(folder / "user.npy", mmap_mode="r")),
        rows=sum(split),
        user_fields=source.user_fields,
        item_fields=source.item_fields,
        field_sizes=tuple(len(values) for values in vocabularies.values()),
        rating_values=scale,
        split_rows=split,
        warm_up=recipe.warm_up,
        ties=recipe.ties,
        like_from=recipe.like_from,
        noun=source.noun,
        timed=source.timed,
    )
    np.save(folder / "user_fields.npy", user_codes)
    np.save(folder / "item_fields.npy", item_codes)
    InteractionsStore.write_described(folder, header, users, items, vocabularies)
    return header


def _encode(table: pd.DataFrame, fields: tuple[str, ...]) -> tuple[Ints, dict[str, pd.Series[Any]]]:
    """Codes (n, F) int32 into each field's sorted values, and those values."""
    columns, vocabularies = [], {}
    for field in fields:
        codes, values = pd.factorize(table[field], sort=True)
        assert (codes >= 0).all(), f"{field} has no missing values"
        columns.append(codes.astype(np.int32))
        vocabularies[field] = pd.Series(values)
    return np.stack(columns, axis=1), vocabularies


def require_both_classes(store: InteractionsStore) -> None:
    """Every split has likes and dislikes: without both there is nothing to learn or to rank.

    Raises:
        RecloraError: a split has not.
    """
    header = store.header
    for name, size in zip(schema.SPLITS, header.split_rows, strict=True):
        rows = store.split(name)
        likes = int(np.count_nonzero(store.row_label(slice(rows.start, rows.stop))))
        if likes in (0, size):
            raise RecloraError(
                f"every row of {name} is {'a like' if likes else 'not a like'}: "
                f"{size:,} rows of ratings {_range(header)}, a like from {header.like_from:g}",
                where="data.like_from",
                hint="Give another data.like_from, more data, or another data.split.",
            )


def _range(header: StoreHeader) -> str:
    return f"{header.rating_values[0]:g} to {header.rating_values[-1]:g}"
