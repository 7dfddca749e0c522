"""Questions to the person at the terminal. Never called without one."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import typer

from reclora_cli.cli.console import Console
from reclora_cli.errors import did_you_mean


def choice(
    console: Console,
    question: str,
    names: Sequence[str],
    notes: Mapping[str, str] | None = None,
    *,
    default: str | None = None,
) -> str:
    """One of ``names``, by name or number; Enter takes ``default``, else the first.

    Args:
        notes: name -> what is said beside it.
    """
    numbers, width = len(str(len(names))), max(map(len, names))
    for number, name in enumerate(names, start=1):
        noted(console, f"{number:{numbers}}  {name:{width}}", (notes or {}).get(name, ""))
    while True:
        given = str(typer.prompt(question, default=default or names[0], err=True)).strip()
        if given in names:
            return given
        if given.isdecimal() and 1 <= int(given) <= len(names):
            return names[int(given) - 1]
        console.say(f"{given!r} is not one of them. {did_you_mean(given, names)}")


def noted(console: Console, name: str, note: str) -> None:
    """A name, and what is said beside it, folded into a column of its own."""
    start = f"  {name}  "
    folded = textwrap.wrap(note, max(20, console.err.width - len(start)))
    console.say(f"\n{' ' * len(start)}".join([start + "".join(folded[:1]), *folded[1:]]).rstrip())


def text(question: str, default: str | None = None) -> str:
    """What the person types, not empty; Enter takes ``default`` where there is one."""
    return str(typer.prompt(question, default=default, err=True)).strip()


def number(console: Console, question: str, default: int) -> int:
    """A whole number from 1; Enter takes ``default``."""
    while True:
        given = text(question, str(default))
        if given.isdecimal() and int(given) > 0:
            return int(given)
        console.say(f"{given!r} is no whole number from 1.")


def text_or_nothing(question: str) -> str:
    """What the person types; empty for Enter alone."""
    return str(typer.prompt(question, default="", show_default=False, err=True)).strip()


def yes(console: Console, question: str) -> bool:
    """Whether the answer is yes; Enter is no."""
    return typer.confirm(question, default=False, err=True)
