"""A tiny world for tests: 30 users rate 40 movies, written in ML-1M's original format.

Small, but with what real data has: users who come late (unseen in training), items first rated
late, several ratings in one second, profiles shared by users, titles with apostrophes, commas
and accents, and a taste that ratings follow, so that models have something to learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reclora_cli import recipe
from reclora_cli.data.store import InteractionsStore
from reclora_cli.recipe import Recipe
from reclora_cli.stages import prepare
from reclora_cli.workspace import Workspace

USERS, ITEMS = 30, 40
FIRST_SECOND = 978_300_000

_GENRES = ("Action", "Comedy", "Drama", "Sci-Fi")
_TITLES = (
    "Pump Up the Volume",
    "Crying Game, The",
    "Schindler's List",
    "Café au Lait",
    "Heat",
    'Say "Anything"',
)
_SMALL = {
    "retriever.pca": 8,
    "retriever.long": 8,
    "crm.history": 8,
    "crm.embedding": 8,
    "crm.attention_layers": [8],
    "crm.dnn_layers": [16, 8],
    "crm.ctr_bert.micro_batch_tokens": 600,
    "crm.batch_size": 64,
    "crm.epochs": 2,
    "prompt.history": 3,
    "adapter.experts": 4,
    "adapter.rank": 2,
    "adapter.alpha": 4.0,
    "gate.hidden": 8,
    "finetune.shots": 16,
    "finetune.batch_size": 4,
    "finetune.checkpoint_every": 2,
    "evaluate.resamples": 50,
}


@dataclass(frozen=True)
class TinyWorld:
    """The tiny world, prepared.

    Attributes:
        raw: folder of its ML-1M files.
        recipe: ``ml-1m`` with every size small.
        workspace: where it is prepared.
    """

    raw: Path
    recipe: Recipe
    workspace: Workspace

    @property
    def store(self) -> InteractionsStore:
        return InteractionsStore(self.workspace.store("ml-1m").path)


def make_world(folder: Path, seed: int = 7) -> TinyWorld:
    """Write and prepare the tiny world below ``folder``."""
    raw = write_ml_1m(folder / "raw", seed)
    small = recipe.load("ml-1m", values=_SMALL)
    workspace = Workspace(folder / "workspace")
    prepare.run(small, workspace, given=raw)
    return TinyWorld(raw, small, workspace)


def write_ml_1m(folder: Path, seed: int = 7) -> Path:
    """Write ``ratings.dat``, ``users.dat`` and ``movies.dat`` of the tiny world."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    likes = rng.permuted(np.tile([True, True, False, False], (USERS, 1)), axis=1)
    genre = rng.integers(len(_GENRES), size=ITEMS)
    _write(folder / "users.dat", [_user_line(user, rng) for user in range(USERS)])
    _write(folder / "movies.dat", [_movie_line(item, genre[item]) for item in range(ITEMS)])
    lines = [line for user in range(USERS) for line in _rating_lines(user, likes[user, genre], rng)]
    _write(folder / "ratings.dat", lines)
    return folder


def user_id(user: int) -> int:
    """Source id of the tiny world's user number ``user``; ids have gaps."""
    return 3 * user + 1


def movie_id(item: int) -> int:
    """Source id of item number ``item``."""
    return 2 * item + 5


def _user_line(user: int, rng: np.random.Generator) -> str:
    age = rng.choice([1, 18, 25, 35, 45, 50, 56])
    zipcode = f"{48000 + user // 2}"
    return f"{user_id(user)}::{rng.choice(['M', 'F'])}::{age}::{rng.integers(21)}::{zipcode}"


def _movie_line(item: int, genre: int) -> str:
    title = f"{_TITLES[item % len(_TITLES)]} {item} ({1980 + item % 20})"
    return f"{movie_id(item)}::{title}::{_GENRES[genre]}|Thriller"


def _rating_lines(user: int, liked: np.ndarray, rng: np.random.Generator) -> list[str]:
    """One user's ratings, not in time order; the last two items only the last users know."""
    count = int(rng.integers(14, 36))
    start = FIRST_SECOND + user * 60
    seconds = np.sort(start + rng.integers(0, 400, size=count) // 3 * 3)
    known = ITEMS if user >= USERS - 3 else ITEMS - 2
    rated = rng.permutation(known)[:count]
    stars = np.clip(np.where(liked[rated], 5, 3) + rng.integers(-2, 2, size=count), 1, 5)
    shuffled = rng.permutation(count)
    return [
        f"{user_id(user)}::{movie_id(rated[at])}::{stars[at]}::{seconds[at]}" for at in shuffled
    ]


def _write(file: Path, lines: list[str]) -> None:
    file.write_bytes("".join(f"{line}\n" for line in lines).encode("latin-1"))
