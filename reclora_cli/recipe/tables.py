"""How a user's own files are read: ``data.tables`` of a recipe.

Unlike the rest of the recipe these sections carry defaults here: ``base.yaml`` has
``tables: null``, and nobody should have to write down how every CSV file quotes.
``reclora prepare --init`` writes out those that matter for a given file.
"""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from reclora_cli.recipe.section import Section

Format = Literal["auto", "csv", "jsonl", "parquet"]

RESERVED_NAMES = frozenset(
    ("user_id", "item_id", "noun", "opinion", "rating", "liked", "behaviours", "He", "he")
).union(("His", "his"))
"""What a field may not be called: text templates give these names a meaning of their own."""


def _one_character(text: str) -> str:
    if len(text) != 1 or not text.isascii() or text in "\r\n\0":
        raise ValueError(r'one ASCII character is wanted, such as ";" or "\t"')
    return text


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError("unknown encoding; try utf-8, latin-1, cp1252 or utf-16") from None
    return name


def _field_names(fields: dict[str, FieldColumn | str]) -> dict[str, FieldColumn | str]:
    for name in fields:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"a field is named like a Python variable, not {name!r}")
        if name in RESERVED_NAMES:
            raise ValueError(f"{name!r} has a meaning of its own in texts: choose another name")
    return fields


Character = Annotated[str, AfterValidator(_one_character)]


class FileRecipe(Section):
    """One file. ``delimiter`` to ``header`` are read for CSV, ``empty`` for CSV and JSON lines."""

    file: str | None = Field(
        default=None,
        description="path, relative to the recipe; null: the interactions file, given with --from",
    )
    format: Format = Field(
        default="auto", description="auto: by how the file begins; gzip is read too"
    )
    delimiter: Character = Field(default=",", description="one character between values")
    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field(default="utf-8")
    quote: Character | None = Field(
        default='"', description="around values; doubled inside; null: none"
    )
    escape: Character | None = Field(default=None, description="before a character taken as it is")
    header: tuple[str, ...] | None = Field(
        default=None, description="column names of a file whose first line has none"
    )
    empty: tuple[str, ...] = Field(default=("",), description="texts that mean there is no value")


class RatingRecipe(Section):
    """A column of numbers, or of labels when ``like`` and ``dislike`` say which is which."""

    column: str
    like: tuple[str, ...] | None = Field(
        default=None, description="values that mean a like; they become 1 and those of dislike 0"
    )
    dislike: tuple[str, ...] | None = Field(default=None, description="values that mean a dislike")
    values: tuple[float, ...] | None = Field(
        default=None, description="every rating there may be; null: those that occur, at most 255"
    )
    between: tuple[float, float] | None = Field(
        default=None, description="lowest and highest rating"
    )
    none: tuple[float | str, ...] = Field(
        default=(),
        description='values that mean there is no rating: left out and counted; "" is empty',
    )

    @property
    def is_label(self) -> bool:
        """Whether the column says like or dislike, and nothing finer."""
        return self.like is not None

    @model_validator(mode="after")
    def _one_reading(self) -> RatingRecipe:
        if (self.like is None) != (self.dislike is None):
            raise ValueError("labels need both like and dislike")
        if self.is_label and (self.values or self.between):
            raise ValueError("labels have no scale: leave out values and between")
        if set(self.like or ()) & set(self.dislike or ()):
            raise ValueError("a value cannot mean both like and dislike")
        return self


class TimeRecipe(Section):
    """A column of times."""

    column: str
    format: str = Field(
        default="seconds",
        description="seconds, milliseconds or microseconds since 1970; iso8601; or a strptime "
        "pattern such as '%d/%m/%Y %H:%M'. Times without a zone are UTC",
    )
    missing: Literal["error", "drop"] = Field(
        default="error",
        description="interactions without a time; drop leaves them out and counts them",
    )


class InteractionsRecipe(FileRecipe):
    """Who took what, with which opinion, when."""

    user: str = Field(description="column of user ids")
    item: str = Field(description="column of item ids")
    rating: RatingRecipe
    time: TimeRecipe | None = Field(description="null: the order is the file's")


class FieldColumn(Section):
    """A column that holds several values, of which the first counts."""

    column: str
    first_of: str = Field(description="what stands between the values, e.g. '|'; a JSON list: ''")


Fields = Annotated[dict[str, FieldColumn | str], AfterValidator(_field_names)]


class DescriptionsRecipe(FileRecipe):
    """What is known of users, or of items. Of several lines for one id the first counts."""

    key: str | None = Field(
        default=None,
        description="column of ids; null: as in the interactions file (when file is null)",
    )
    fields: Fields = Field(
        default_factory=dict,
        description="name -> column: what models read besides the id, and texts may say. "
        "A field without a value reads 'unknown'; an item without title goes by its id",
    )
    texts: Fields = Field(default_factory=dict, description="name -> column: what only texts say")

    @model_validator(mode="after")
    def _consistent(self) -> DescriptionsRecipe:
        if self.file is not None and self.key is None:
            raise ValueError("a file of its own needs key, its column of ids")
        twice = sorted(set(self.fields) & set(self.texts))
        if twice:
            raise ValueError(f"{', '.join(twice)}: named under both fields and texts")
        return self


class TablesRecipe(Section):
    """Own files: interactions, and optionally what describes users and items."""

    noun: str = Field(default="item", description="what an item is called, e.g. book")
    interactions: InteractionsRecipe
    users: DescriptionsRecipe | None = None
    items: DescriptionsRecipe | None = None
    undescribed: Literal["error", "drop"] = Field(
        default="error",
        description="interactions of users or items that no line of their file describes",
    )


class TextsRecipe(Section):
    """Wordings in place of the template's. ``{name}`` is replaced; ``{{`` is a brace.

    Any text may say ``{noun}``. Those about users may say ``{He}``, ``{he}``, ``{His}`` and
    ``{his}``, by the users' field ``gender`` (male or female).
    """

    item: str | None = Field(default=None, description="an item for its vector; names item fields")
    profile: str | None = Field(
        default=None, description="first line of the question; names user fields; may be empty"
    )
    behaviour: str | None = Field(
        default=None,
        description="one behaviour: item fields, {rating}, {liked} (liked or disliked) and "
        "{opinion} (as stars; as {liked} where ratings are labels)",
    )
    question: str | None = Field(
        default=None,
        description="the rest: fields of the item asked about, and {behaviours}, their list",
    )
