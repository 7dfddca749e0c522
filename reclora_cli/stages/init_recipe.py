"""A recipe to begin with, guessed from a user's own file."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from reclora_cli.data.guessing.columns import UNNAMED
from reclora_cli.data.guessing.descriptions import Described
from reclora_cli.data.guessing.guess import guess_recipe
from reclora_cli.data.guessing.recipe_text import Guess, recipe_text
from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.workspace import write_text


@dataclass(frozen=True)
class InitRecipeResult:
    """What was guessed.

    Attributes:
        recipe: the file that was written.
        dataset: what the dataset is called in it.
        guessed: what each part was taken for, in words.
        check: what needs a look, or an edit before ``prepare`` will work.
        next_command: prepares it.
    """

    recipe: str
    dataset: str
    guessed: dict[str, str]
    check: list[str]
    next_command: str


def run(
    file: Path,
    target: Path,
    *,
    dataset: str | None = None,
    force: bool = False,
    extends: str = "base",
) -> InitRecipeResult:
    """Guess from ``file`` and the files beside it, and write the recipe ``target``.

    Args:
        dataset: what to call it; by default after the file.
        force: write over a recipe that is there.
        extends: the shipped recipe that it extends: ``base``, or ``next``.

    Raises:
        UsageError: ``target`` is there already, or is no YAML file.
        MissingInputError: there is no ``file``.
        RecloraError: ``file`` cannot be read as a table, or ``target`` cannot be written.
    """
    require_free(target, force=force)
    guess = guess_recipe(file, dataset)
    write(target, recipe_text(guess, target.absolute().parent, extends))
    return InitRecipeResult(
        recipe=str(target),
        dataset=guess.name,
        guessed=_guessed(guess),
        check=_to_check(guess),
        next_command=f"reclora prepare --recipe {shlex.quote(str(target))}",
    )


def require_free(target: Path, *, force: bool) -> None:
    """Refuse a place where no recipe may be written.

    Raises:
        UsageError: it is no YAML file, or there already and not to be replaced.
    """
    if target.suffix not in {".yaml", ".yml"}:
        raise UsageError("a recipe is a .yaml file", where=str(target))
    if target.exists() and not force:
        raise UsageError(
            "this file exists already", where=str(target), hint="Name another, or add --force."
        )


def write(target: Path, text: str) -> None:
    """Write a recipe.

    Raises:
        RecloraError: nothing can be written there.
    """
    try:
        write_text(target, text)
    except OSError as error:
        raise RecloraError(
            f"cannot be written ({error.strerror})",
            where=str(target),
            hint="Give it another place.",
        ) from error


def _guessed(guess: Guess) -> dict[str, str]:
    roles, file = guess.roles, guess.sample.file
    dialect = file.dialect
    told = {"file": {"csv": "CSV", "jsonl": "JSON lines", "parquet": "Parquet"}[file.kind]}
    if file.kind == "csv":
        told["file"] += f", values separated by {dialect.delimiter!r}, {dialect.encoding}"
    told["user"], told["item"] = roles.user, roles.item
    told["rating"] = f"{roles.rating.column}; {roles.like_from:g} or more is a like"
    if roles.rating.like is not None:
        told["rating"] = f"{roles.rating.column}; {', '.join(roles.rating.like)} is a like"
    told["time"] = (
        f"{roles.time.column}, as {roles.time.format}"
        if roles.time
        else "none: the order is the file's"
    )
    for name, found in (("users", guess.users), ("items", guess.items)):
        if found is not None:
            told[name] = _described(found)
    return told


def _described(found: Described) -> str:
    where = f"{found.sample.path.name} by {found.key}" if found.key else "in the same file"
    return f"{where}: {', '.join(found.fields)}"


def _to_check(guess: Guess) -> list[str]:
    roles, found = guess.roles, []
    for what, column in (
        ("user", roles.user),
        ("item", roles.item),
        ("rating", roles.rating.column),
    ):
        if column == UNNAMED:
            found.append(f"no column looks like the {what}: replace {UNNAMED}")
    if len(guess.sample.columns) == 1 and guess.sample.file.kind == "csv":
        found.append("one column only: set delimiter; one of several characters is not read")
    if guess.sample.file.dialect.header:
        found.append("the first line names no columns: name them under header")
    if roles.rating.none:
        values = ", ".join(repr(value) for value in roles.rating.none)
        found.append(f"ratings {values} are taken for no rating")
    if roles.time is None:
        found.append("without times the split follows the file's order: is it one of time?")
    elif roles.time.missing == "drop":
        found.append("interactions without a time are left out")
    for name, described in (("users", guess.users), ("items", guess.items)):
        if described is not None and not described.is_complete:
            found.append(f"{described.share:.1%} of the {name} looked at are described")
    if guess.items is None:
        found.append("nothing describes the items: prompts will say their ids")
    found.append(f"from which rating on is it a like? like_from is {roles.like_from:g}")
    return found if not roles.rating.is_label else found[:-1]
