"""A guess as a commented recipe."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reclora_cli.data.guessing.columns import UNNAMED, Roles
from reclora_cli.data.guessing.descriptions import Described, drops_undescribed
from reclora_cli.data.guessing.sample import Sample
from reclora_cli.data.reading.csv_dialect import Dialect, shown
from reclora_cli.recipe.tables import FieldColumn, RatingRecipe

_STEMS = {"movies": "movie", "films": "movie", "books": "book", "games": "game", "songs": "song"}
_STEMS |= {"artists": "artist", "products": "product", "restaurants": "restaurant"}
_BY_COLUMN = {"movie": "movie", "film": "movie", "book": "book", "isbn": "book", "game": "game"}
_BY_COLUMN |= {"asin": "product", "product": "product", "song": "song", "track": "song"}
_BY_COLUMN |= {"artist": "artist", "restaurant": "restaurant", "beer": "beer"}


@dataclass(frozen=True)
class Guess:
    """All that was guessed of a file.

    Attributes:
        name: of the dataset, as in ``data.source``.
        warm_up: first interactions of each user that are history only.
    """

    name: str
    sample: Sample
    roles: Roles
    users: Described | None
    items: Described | None
    warm_up: int | None

    @property
    def noun(self) -> str:
        """What an item seems to be."""
        files = [self.items.sample.path.name] if self.items and self.items.key else []
        for text in [*files, self.roles.item]:
            for word in re.findall(r"[a-z]+", text.lower()):
                noun = _STEMS.get(word) or next(
                    (noun for stem, noun in _BY_COLUMN.items() if word.startswith(stem)), None
                )
                if noun is not None:
                    return noun
        return "item"

    @property
    def fields(self) -> list[str]:
        """Item fields besides the title."""
        return [name for name in (self.items.fields if self.items else {}) if name != "title"]


def recipe_text(guess: Guess, folder: Path, extends: str = "base") -> str:
    """The recipe as YAML with comments, to be written in ``folder``, over a shipped one."""
    return "\n".join([*_data(guess, folder, extends), *_prompt(guess), ""])


def _data(guess: Guess, folder: Path, extends: str) -> list[str]:
    roles = guess.roles
    lines = [
        f"# Guessed by `reclora prepare --init` from {guess.sample.path.name}: please check.",
        "# Every key is described in docs/datasets.md; what is not said here is as in base.yaml.",
        f"extends: {extends}",
        "data:",
        f"  source: {_said(guess.name)} # what you call it",
        f"  like_from: {roles.like_from} # a rating at or above this is a like",
    ]
    if guess.warm_up is not None:
        lines.append(
            f"  warm_up: {guess.warm_up} # first interactions of each user that are history only; "
            "most users have few"
        )
    lines += [
        "  tables:",
        f"    noun: {_said(guess.noun)} # what an item is called",
        "    interactions:",
        f"      file: {_said(_path(guess.sample.path, folder))}",
        *_dialect(guess.sample, roles.empty),
        f"      user: {_said(roles.user)}{_unnamed(roles.user)}",
        f"      item: {_said(roles.item)}{_unnamed(roles.item)}",
        "      rating:",
        f"        column: {_said(roles.rating.column)}{_unnamed(roles.rating.column)}",
        *_scale(roles.rating),
        *_time(roles),
        *_described("users", guess.users, folder),
        *_described("items", guess.items, folder),
    ]
    if drops_undescribed(guess.users, guess.items):
        lines.append(
            "    undescribed: drop # interactions of what its file does not describe; or error"
        )
    return lines


def _unnamed(name: str) -> str:
    return " # no column looks like it: name yours" if name == UNNAMED else ""


def _dialect(sample: Sample, empty: Sequence[str]) -> list[str]:
    plain, found = Dialect(), sample.file.dialect
    lines = []
    if sample.file.kind == "csv":
        said = {
            "delimiter": found.delimiter,
            "encoding": None if found.encoding == plain.encoding else found.encoding,
            "escape": found.escape,
            "quote": "null" if found.quote is None else None,
            "header": list(found.header) if found.header else None,
        }
        lines = [f"      {key}: {_said(value)}" for key, value in said.items() if value is not None]
        lines = [line.replace('quote: "null"', "quote: null") for line in lines]
    if list(empty) != [""]:
        lines.append(f"      empty: {_said(list(empty))} # texts that mean there is no value")
    return lines


def _scale(rating: RatingRecipe) -> list[str]:
    lines = []
    if rating.like is not None and rating.dislike is not None:
        lines += [
            f"        like: {_said(list(rating.like))} # becomes 1",
            f"        dislike: {_said(list(rating.dislike))} # becomes 0",
        ]
    if rating.values:
        lines.append(f"        values: {_said(list(rating.values))} # any other is an error")
    if rating.between:
        lines.append(f"        between: {_said(list(rating.between))} # any other is an error")
    if rating.none:
        lines.append(
            f"        none: {_said(list(rating.none))} # means no rating: left out and counted"
        )
    return lines


def _time(roles: Roles) -> list[str]:
    time = roles.time
    if time is None:
        return ["      time: null # no column of times: the order is the file's"]
    lines = [
        "      time:",
        f"        column: {_said(time.column)}",
        f"        format: {_said(time.format)}",
    ]
    if time.missing == "drop":
        lines.append("        missing: drop # some have none: left out and counted; or error")
    return lines


def _described(kind: str, found: Described | None, folder: Path) -> list[str]:
    if found is None:
        return []
    lines = [f"    {kind}:"]
    if found.key is not None:
        lines += [
            f"      file: {_said(_path(found.sample.path, folder))}",
            *_dialect(found.sample, found.empty),
            f"      key: {_said(found.key)}",
        ]
    lines.append("      fields: # what models read; texts may say it, too")
    for name, column in found.fields.items():
        lines.append(f"        {name}: {_field(column)}")
    if found.others:
        lines.append(f"      # other columns: {shown(found.others)}")
    return lines


def _field(column: FieldColumn | str) -> str:
    if isinstance(column, str):
        return _said(column)
    return f"{{ column: {_said(column.column)}, first_of: {_said(column.first_of)} }}"


def _prompt(guess: Guess) -> list[str]:
    noun = guess.noun
    templates = {"movie": "movies", "book": "books"}
    template = "plain" if guess.roles.rating.is_label else templates.get(noun, "plain")
    article = "an" if noun[0] in "aeiou" else "a"
    item = f"Here is {article} {noun}. Its title is {{title}}."
    item += "".join(f" Its {name} is {{{name}}}." for name in guess.fields)
    lines = [
        "prompt:",
        f"  template: {template} # movies, books or plain; texts replace its wordings one by one",
        "  texts:",
        f"    item: {_said(item)}",
    ]
    if guess.users is not None:
        said = " ".join(f"The user's {name} is {{{name}}}." for name in guess.users.fields)
        lines.append(f"    profile: {_said(said)}")
    return lines


def _path(path: Path, folder: Path) -> str:
    """Relative where it is below the recipe's folder, else absolute."""
    absolute = path.absolute()
    below = os.path.relpath(absolute, folder.absolute())
    return str(absolute) if below.startswith("..") else below


def _said(value: object) -> str:
    """As YAML: plain words as they are, everything else quoted."""
    keywords = {"null", "none", "true", "false", "yes", "no", "on", "off"}
    word = isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", value)
    if word and str(value).lower() not in keywords:
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(_said(each) for each in value)}]"
    return json.dumps(value, ensure_ascii=False)
