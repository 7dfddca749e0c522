"""A few users' ratings of a few books in a file of one's own, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reclora_cli import recipe as recipes
from reclora_cli.recipe import Recipe

ROWS = [
    (f"u{user}", f"b{(user * 5 + at * 3) % 20}", (user + at) % 5 + 1, 1_000_000_000 + at * 86_400)
    for user in range(12)
    for at in range(12)
]
BOOKS = [(f"b{at}", f"Title {at}", f"Author {at % 4}", f"{1990 + at}.0") for at in range(20)]

INTERACTIONS: dict[str, Any] = {
    "user": "reader",
    "item": "book",
    "rating": {"column": "stars"},
    "time": {"column": "read"},
}
ITEMS: dict[str, Any] = {
    "key": "id",
    "fields": {"title": "name", "author": "author", "year": {"column": "year", "first_of": "."}},
}


def write_files(folder: Path) -> Path:
    """``ratings.csv`` and ``books.csv`` in ``folder``; returns the first."""
    lines = ["reader,book,stars,read", *(",".join(map(str, row)) for row in ROWS)]
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = ["id,name,author,year", *(",".join(row) for row in BOOKS)]
    (folder / "books.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "ratings.csv"


def own_recipe(folder: Path, *overrides: str, **interactions: Any) -> Recipe:
    """The recipe of these files, with other settings of the interactions."""
    tables = {
        "noun": "book",
        "interactions": {**INTERACTIONS, **interactions},
        "items": {**ITEMS, "file": str(folder / "books.csv")},
    }
    return recipes.load(
        "base",
        overrides=["data.source=mine", "prompt.template=plain", "data.warm_up=2", *overrides],
        values={"data.tables": tables},
    )
