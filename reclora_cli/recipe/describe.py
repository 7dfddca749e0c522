"""The keys of a recipe as they are typed: type, default, meaning, section by section."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reclora_cli.recipe.tree import Recipe


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        path: dotted, as ``--set`` takes it.
        type: in words: ``integer, 1 or more``; choices are listed.
        meaning: what it decides; empty where the name says it.
    """

    path: str
    type: str
    meaning: str


def keys(section: type[BaseModel] = Recipe, before: str = "") -> Iterator[Key]:
    """Every key of the recipe, in the order of ``base.yaml``; sections themselves are not keys."""
    for name, field in section.model_fields.items():
        inner = section_of(field)
        path = f"{before}{name}"
        if inner is not None and not _may_be_null(field):
            yield from keys(inner, f"{path}.")
        else:
            yield Key(path, type_of(field), field.description or "")


def meaning_of(path: Sequence[str]) -> str:
    """What a key decides, by its path; empty where nothing is said of it."""
    section: type[BaseModel] = Recipe
    for part in path[:-1]:
        field = section.model_fields.get(part)
        inner = section_of(field) if field else None
        if inner is None:
            return ""
        section = inner
    found = section.model_fields.get(path[-1])
    return (found.description or "") if found else ""


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a key holds, if it holds one."""
    kinds = get_args(field.annotation) or (field.annotation,)
    inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return inner[0] if inner else None


def type_of(field: FieldInfo) -> str:
    """A field's type and bounds in words."""
    words = _words(field.annotation)
    bounds = [text for one in field.metadata for text in _bound(one)]
    return ", ".join([words, *bounds])


def _words(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " \\| ".join(f"`{one}`" for one in inner)
    if origin in {Union, UnionType}:
        parts = [_words(one) for one in inner if one is not NoneType]
        return " \\| ".join([*parts, *(["`null`"] if NoneType in inner else [])])
    if hasattr(kind, "__metadata__"):
        bounds = [
            text
            for one in kind.__metadata__
            for part in (getattr(one, "metadata", None) or [one])
            for text in _bound(part)
        ]
        return ", ".join([_words(kind.__origin__), *bounds])
    if origin is tuple:
        return f"list of {_words(inner[0])}"
    if origin is dict:
        return "mapping"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "section"
    return {int: "integer", float: "number", str: "text", bool: "`true` \\| `false`"}.get(
        kind, "any"
    )


def _bound(limit: Any) -> list[str]:
    said = (("ge", "{} or more"), ("gt", "above {}"), ("le", "{} at most"), ("lt", "below {}"))
    return [
        text.format(f"{getattr(limit, name):g}")
        for name, text in said
        if getattr(limit, name, None) is not None
    ]


def _may_be_null(field: FieldInfo) -> bool:
    return NoneType in get_args(field.annotation)
