"""A tiny dataset of sequences, written as LLaRA publishes LastFM's.

Users walk through the artists in steps of 1 or 2, so that what comes next can be learnt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reclora_cli import recipe
from reclora_cli.recipe import Recipe
from reclora_cli.stages import prepare_sequences
from reclora_cli.workspace import Workspace

ARTISTS = 60
PADDING = 4606
LENGTH = 10
SMALL = {
    "crm.embedding": 8,
    "crm.sasrec.width": 8,
    "crm.sasrec.layers": 1,
    "crm.gru4rec.width": 6,
    "crm.caser.horizontal": 2,
    "crm.caser.vertical": 2,
    "crm.batch_size": 32,
    "crm.epochs": 3,
    "crm.dropout": 0.1,
    "evaluate.resamples": 50,
}


def small_recipe(**values: Any) -> Recipe:
    """``lastfm`` with every size small."""
    return recipe.load("lastfm", values={**SMALL, **values})


def walk(start: int, length: int, stride: int) -> list[int]:
    return [(start + at * stride) % ARTISTS for at in range(length)]


def padded(history: list[int]) -> list[int]:
    return [*history, *[PADDING] * (LENGTH - len(history))]


def frame(rows: list[tuple[list[int], int]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "seq": [np.array(padded(history)) for history, _ in rows],
            "len_seq": [max(len(history), 1) for history, _ in rows],
            "next": [target for _, target in rows],
        }
    )


def write_llara(folder: Path) -> Path:
    """Train, val and test rows, and names, in ``folder / "lastfm"``; returns ``folder``."""
    place = folder / "lastfm"
    place.mkdir(parents=True)
    train = []
    for user in range(20):
        artists = walk(3 * user, 13, 1 + user % 2)
        train += [(artists[max(0, at - LENGTH) : at], artists[at]) for at in range(len(artists))]
    ends = [walk(5 * user + 1, 4 + user % 8, 1 + user % 2) for user in range(24)]
    last = [(artists[:-1][-LENGTH:], artists[-1]) for artists in ends]
    frame(train).to_parquet(place / "train.parquet")
    frame(last[:12]).to_parquet(place / "val.parquet")
    frame(last[12:]).to_parquet(place / "test.parquet")
    names = "".join(f"{item}::Artist {item}\n" for item in range(ARTISTS))
    (place / "id2name.txt").write_text(names, encoding="utf-8")
    return folder


def prepared(folder: Path, **values: Any) -> tuple[Recipe, Workspace]:
    """The tiny sequences, written and prepared below ``folder``."""
    small = small_recipe(**values)
    workspace = Workspace(folder / "workspace")
    prepare_sequences.run(small, workspace, given=write_llara(folder / "given"))
    return small, workspace
