"""The workspace and the files that commands of the docs are run on: small ones, by the same names.

The shipped recipes are copied and made small: a random LM of two layers in place of each LM, few
shots, rows and epochs. So `reclora finetune --llm vicuna-7b --preset paper` walks the code that it
walks for a reader, in a second. User 42 and "Heat (1995)" are there.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from reclora_cli import recipe as recipes
from reclora_cli.recipe.yaml_core import parse
from tests.sequences_world import write_llara
from tests.world import FIRST_SECOND, movie_id, user_id, write_ml_1m

USER, TITLE = 42, "Heat (1995)"
MORE_FILMS = 40
CAPS: dict[str, float] = {
    "adapter.experts": 4,
    "adapter.rank": 2,
    "crm.attention_layers": 8,
    "crm.batch_size": 64,
    "crm.dnn_layers": 8,
    "crm.embedding": 8,
    "crm.epochs": 1,
    "crm.gru4rec.width": 8,
    "crm.history": 8,
    "crm.sasrec.width": 8,
    "evaluate.resamples": 50,
    "evaluate.rows": 6,
    "finetune.batch_size": 4,
    "finetune.epochs": 1,
    "finetune.shots": 16,
    "gate.hidden": 8,
    "prompt.history": 3,
    "retriever.long": 8,
    "retriever.pca": 8,
    "tune.rows": 8,
}
"""The most that a key of a recipe, a table or ``--set`` says here; of lists, each value."""


@dataclass(frozen=True)
class Places:
    """Where what stands for the docs' files lies; made once."""

    recipes: Path
    files: Path
    cache: Path
    lm: Path


def capped(key: str, value: Any) -> Any:
    """A setting as it is here."""
    cap = CAPS.get(key)
    if cap is None or isinstance(value, (str, bool)) or value is None:
        return value
    if isinstance(value, list):
        return [capped(key, one) for one in value]
    return min(value, type(value)(cap))


def write_recipes(folder: Path, lm: Path, encoder: Path) -> Path:
    """The shipped recipes, small, in ``folder``."""
    shipped = recipes.recipes_folder()
    for file in sorted(shipped.rglob("*.yaml")):
        tree = _small(parse(file.read_text(encoding="utf-8")))
        if "lm" in tree:
            tree["lm"]["name"] = str(lm)
        if file.stem == "base":
            tree["crm"]["ctr_bert"] |= {"encoder": str(encoder), "micro_batch_tokens": 600}
            tree["finetune"]["micro_batch_tokens"] = 4096  # No memory plan: seconds of each run.
        target = folder / file.relative_to(shipped)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return folder


def write_files(folder: Path) -> Path:
    """What the docs name as the reader's files."""
    raw = write_ml_1m(folder / "ml-1m")
    _rename(raw)
    _add_films(raw)
    shutil.make_archive(str(folder / "ml-1m"), "zip", folder, "ml-1m")
    (folder / "path" / "to").mkdir(parents=True)
    shutil.copytree(raw, folder / "path" / "to" / "ml-1m")
    _write_ml_100k(raw, folder / "ml-100k")
    write_llara(folder / "llara")
    _write_own(folder, raw)
    return folder


def _small(tree: Any, prefix: str = "") -> Any:
    if not isinstance(tree, Mapping):
        return capped(prefix, tree)
    small = {}
    for key, value in tree.items():
        place = f"{prefix}.{key}" if prefix and "." not in str(key) else str(key)
        # A table has its settings under a size, and a dataset its CRMs' under their names.
        if re.fullmatch(r"crms\.[^.]+", place):
            place = "crm"
        small[key] = _small(value, "" if place in {"sizes", "settings"} else place)
    if "alignment" in small and isinstance(small["alignment"], dict):
        small["alignment"] = {"clusters": 2, "rows": 2}
    if "cells" in small:
        _cut_table(small)
    return small


def _cut_table(table: dict[str, Any]) -> None:
    """A table of its reference and the first other cell, a figure of two values."""
    reference = table.get("reference")
    others = [cell for cell in table["cells"] if cell["label"] != reference]
    held = [cell for cell in table["cells"] if cell["label"] == reference]
    table["cells"] = [*others[:1], *held]
    for size in table["sizes"].values():
        if "values" in size:
            shots = table["axis"]["key"] == "finetune.shots"
            size["values"] = [8, 16] if shots else size["values"][:2]


def _rename(raw: Path) -> None:
    """User 43 becomes 42, and the sixth film Heat (1995)."""
    for name, before, after in (
        ("ratings.dat", rf"(?m)^{user_id(14)}::", f"{USER}::"),
        ("users.dat", rf"(?m)^{user_id(14)}::", f"{USER}::"),
        ("movies.dat", rf"(?m)^({movie_id(4)})::[^:]*::", rf"\1::{TITLE}::"),
    ):
        file = raw / name
        text, count = re.subn(before, after, file.read_bytes().decode("latin-1"))
        assert count, name
        file.write_bytes(text.encode("latin-1"))


def _add_films(raw: Path) -> None:
    """Films enough to draw 19 candidates from, each rated once, before all else."""
    with (raw / "movies.dat").open("ab") as movies, (raw / "ratings.dat").open("ab") as ratings:
        for film in range(MORE_FILMS):
            movies.write(f"{1000 + film}::Film {film} (1990)::Drama\n".encode())
            user, second = user_id(film % 14), FIRST_SECOND - film
            ratings.write(f"{user}::{1000 + film}::{1 + film % 5}::{second}\n".encode())


def _lines(file: Path) -> list[list[str]]:
    return [line.split("::") for line in file.read_bytes().decode("latin-1").splitlines()]


def _write_ml_100k(raw: Path, folder: Path) -> None:
    """The same films and ratings in MovieLens 100K's format."""
    folder.mkdir()
    users = [
        f"{u}|{age}|{sex}|writer|{zipcode}" for u, sex, age, _, zipcode in _lines(raw / "users.dat")
    ]
    flags = "|".join(["0"] * 18)
    items = [
        f"{m}|{title}|01-Jan-1995||http://x|1|{flags}" for m, title, _ in _lines(raw / "movies.dat")
    ]
    ratings = ["\t".join(line) for line in _lines(raw / "ratings.dat")]
    for name, lines in (("u.user", users), ("u.item", items), ("u.data", ratings)):
        (folder / name).write_bytes("".join(f"{one}\n" for one in lines).encode("latin-1"))


def _write_own(folder: Path, raw: Path) -> None:
    names = ["user", "item", "rating", "time"]
    own = pd.DataFrame(_lines(raw / "ratings.dat"), columns=names)
    own.to_csv(folder / "ratings.csv", index=False)
    pairs = own[["user", "item"]].head(8)
    pairs.to_csv(folder / "pairs.csv", index=False)
    pairs.to_json(folder / "pairs.jsonl", orient="records", lines=True)
    pairs.to_parquet(folder / "pairs.parquet", index=False)
    titles = [title for _, title, _ in _lines(raw / "movies.dat")]
    (folder / "tonight.txt").write_text("".join(f"{one}\n" for one in titles[:20]))
    rated = [
        {"item": one, "rating": 1 + at % 5}
        for at, one in enumerate([TITLE, *titles[:3], titles[7]])
    ]
    (folder / "mine.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in rated))
