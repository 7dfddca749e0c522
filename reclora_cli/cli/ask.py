"""Questions to the person at the terminal. Never called without one."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from reclora_cli.cli.console import Console
from reclora_cli.errors import did_you_mean


def choice(console: Console, question: str, names: Sequence[str]) -> str:
    """One of ``names``, by name or number; Enter takes the first."""
    for number, name in enumerate(names, start=1):
        console.say(f"  {number}  {name}")
    while True:
        given = str(typer.prompt(question, default=names[0], err=True)).strip()
        if given in names:
            return given
        if given.isdecimal() and 1 <= int(given) <= len(names):
            return names[int(given) - 1]
        console.say(f"{given!r} is not one of them. {did_you_mean(given, names)}")


def text(question: str) -> str:
    """What the person types; not empty."""
    return str(typer.prompt(question, err=True)).strip()


def text_or_nothing(question: str) -> str:
    """What the person types; empty for Enter alone."""
    return str(typer.prompt(question, default="", show_default=False, err=True)).strip()


def yes(console: Console, question: str) -> bool:
    """Whether the answer is yes; Enter is no."""
    return typer.confirm(question, default=False, err=True)
