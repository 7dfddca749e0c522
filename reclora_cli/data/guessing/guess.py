"""From a file of interactions to a guess of everything that a recipe says of it."""

from __future__ import annotations

import re
from pathlib import Path

from reclora_cli.data.guessing.columns import Roles, guess_roles
from reclora_cli.data.guessing.descriptions import ITEM_FIELDS, USER_FIELDS, guess_descriptions
from reclora_cli.data.guessing.recipe_text import Guess
from reclora_cli.data.guessing.sample import Sample, take_sample

_FEW = 8.0
"""Interactions of a user, on average, below which a warm-up of five leaves hardly a row."""


def guess_recipe(path: Path, name: str | None = None) -> Guess:
    """What ``path`` and the files beside it seem to hold.

    Args:
        name: what to call the dataset; by default its folder's or file's name.

    Raises:
        MissingInputError: no such file.
        RecloraError: it cannot be read as a table.
    """
    sample = take_sample(path)
    roles = guess_roles(sample)
    time = [roles.time.column] if roles.time else []
    taken = {roles.user, roles.item, roles.rating.column, *time}
    return Guess(
        name or _name(path),
        sample,
        roles,
        guess_descriptions(sample, roles.user, USER_FIELDS, taken),
        guess_descriptions(sample, roles.item, ITEM_FIELDS, taken),
        _warm_up(sample, roles),
    )


def _warm_up(sample: Sample, roles: Roles) -> int | None:
    if roles.user not in sample.columns:
        return None
    users = len(sample.columns[roles.user].unique())
    return 1 if len(sample) / max(users, 1) < _FEW else None


def _name(path: Path) -> str:
    stem = path.name.split(".")[0] or "mine"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._").lower() or "mine"
