"""The splits that LLaRA's authors publish, and iLoRA's use: LastFM and Steam (Liao et al., *LLaRA:
Large Language-Recommendation Assistant*, SIGIR 2024, https://arxiv.org/abs/2312.02445).

A row is ``seq``, ten item ids in time order with padding at the end; ``len_seq``; and ``next``. No
item stands twice in a row. Items are named in ``id2name.txt``, one ``id::name`` a line. Users and
times are not published, so a row's known past is its history. Training rows are each position of
each training user's sequence, the empty start too (which is left out here: nothing can be read).
Candidates are not published: theirs are drawn anew at each access.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from reclora_cli.data import schema
from reclora_cli.data.sequences.rows import PADDING, Ints, SequenceRows, Sequences, past_is_history
from reclora_cli.data.sequences.sources.base import SequenceSource
from reclora_cli.errors import RecloraError
from reclora_cli.recipe.next_item import NextRecipe

WHERE_FROM = (
    "Their authors publish them at https://huggingface.co/datasets/joyliao7777/LLaRA as pickled "
    "data frames, which are not read here: write each as Parquet first, as docs/datasets.md shows."
)
EMPTY = "training rows without any history"
SHORT = "validation and test rows with a history below next.least_history"


def read(
    files: Mapping[str, Path], recipe: NextRecipe, *, noun: str, padding: int, label: str
) -> Sequences:
    """Read train, valid, test and names.

    Raises:
        RecloraError: a file is damaged, of another dataset, or holds an item without a name.
    """
    names = read_names(files["names"])
    splits: dict[str, SequenceRows] = {}
    left_out = {EMPTY: 0, SHORT: 0}
    for split in schema.SPLITS:
        file = files[split]
        frame = read_rows(file)
        history, target = stacked(frame, file), frame["next"].to_numpy()
        require_items(history, target, padding=padding, items=len(names), file=file, label=label)
        history = np.where(history == padding, PADDING, history)
        rows = SequenceRows.of(shortened(history, recipe.history), target)
        reason, least = (EMPTY, 1) if split == "train" else (SHORT, recipe.least_history)
        kept = rows.length >= min(least, recipe.history)
        left_out[reason] += int((~kept).sum())
        splits[split] = rows.chosen(kept)
    return Sequences(
        items=names,
        splits=splits,
        past=past_is_history(splits),
        noun=noun,
        split_by="users, as published",
        by_time=False,
        left_out={reason: n for reason, n in left_out.items() if n},
    )


def read_names(file: Path) -> pd.DataFrame:
    """``id::name`` lines, ids 0, 1, 2, ...: columns item_id and title.

    Raises:
        RecloraError: a line has another form, an id is not the next one, or a name is empty.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecloraError(f"cannot be read ({error})", where=str(file)) from error
    names: list[str] = []
    for number, line in enumerate(lines, start=1):
        item, _, name = line.partition("::")
        if item.strip() != str(len(names)) or not name.strip():
            raise RecloraError(
                f"expected {len(names)}::name, got {line!r}",
                where=f"{file}:{number}",
                hint="Each item has its own line, in the order of ids.",
            )
        names.append(name.strip())
    return pd.DataFrame({schema.ITEM: np.arange(len(names)), schema.TITLE: names})


def read_rows(file: Path) -> pd.DataFrame:
    """Columns seq and next (and len_seq, which is counted anew).

    Raises:
        RecloraError: it is no Parquet file, or lacks a column.
    """
    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:  # pyarrow's errors are either
        raise RecloraError(
            f"damaged, or no Parquet file ({error})", where=str(file), hint="Get it once more."
        ) from error
    lacking = [column for column in ("seq", "next") if column not in frame]
    if lacking or frame.empty:
        what = f"lacks the column {lacking[0]}" if lacking else "holds no row"
        raise RecloraError(what, where=str(file), hint="LLaRA's files have seq, len_seq and next.")
    return frame


def stacked(frame: pd.DataFrame, file: Path) -> Ints:
    """``seq`` as one array, (n, L) or, of entries that are pairs, (n, L, 2).

    Raises:
        RecloraError: rows differ in length, or hold something else than whole numbers.
    """
    try:
        rows = [np.stack(row) if row.dtype == object else row for row in frame["seq"]]
        return np.stack(rows).astype(np.int64, casting="same_kind")
    except (AttributeError, TypeError, ValueError) as error:
        raise RecloraError(
            f"seq is no table of item ids ({error})", where=str(file), hint="Get it once more."
        ) from error


def require_items(
    history: Ints, target: Ints, *, padding: int, items: int, file: Path, label: str
) -> None:
    """Refuse rows that cannot be of the dataset that ``label`` names.

    Args:
        history: (n, L) with ``padding`` behind the last item.
        items: ids from 0 to below this have names.

    Raises:
        RecloraError: an item has no name, padding stands before an item, or an item stands twice.
    """
    present = history != padding
    ids = np.where(present, history, 0)
    unnamed = ((ids < 0) | (ids >= items)).any(axis=1) | (target < 0) | (target >= items)
    _refuse(unnamed, "holds an item without a name", file, label)
    _refuse((present[:, 1:] & ~present[:, :-1]).any(axis=1), "has padding inside", file, label)
    distinct = np.where(present, history, -1 - np.arange(history.shape[1]))
    ordered = np.sort(distinct, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    _refuse(twice, "holds an item twice", file, label)


def shortened(history: Ints, length: int) -> Ints:
    """The last ``length`` items of each padded row, (n, length)."""
    lengths = (history != PADDING).sum(axis=1)
    first = np.maximum(lengths - length, 0)
    at = first[:, None] + np.arange(length)
    inside = at < lengths[:, None]
    found = np.take_along_axis(history, np.minimum(at, history.shape[1] - 1), axis=1)
    return np.where(inside, found, PADDING)


def _refuse(wrong: Ints, what: str, file: Path, label: str) -> None:
    if wrong.any():
        raise RecloraError(
            f"row {int(np.argmax(wrong))} {what} ({int(wrong.sum())} such rows)",
            where=str(file),
            hint=f"Is this file of {label}, and are its names beside it?",
        )


def _files(folder: str, train: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Paths of a dataset below LLaRA's folder, the one above it, or its own."""
    named = {"train": train, "valid": ("val.parquet",), "test": ("test.parquet",)}
    named["names"] = ("id2name.txt",)
    places = (f"llara/{folder}/", f"{folder}/", "")
    return {
        split: tuple(place + name for place in places for name in several)
        for split, several in named.items()
    }


LASTFM = SequenceSource(
    name="lastfm",
    label="LastFM",
    files=_files("lastfm", ("train.parquet",)),
    where_from=WHERE_FROM,
    read=partial(read, noun="artist", padding=4606, label="LastFM"),
)

STEAM = SequenceSource(
    name="steam-next",
    label="Steam",
    files=_files("steam", ("train.parquet", "train-first1000.parquet")),
    where_from=WHERE_FROM,
    read=partial(read, noun="game", padding=3581, label="Steam"),
)
