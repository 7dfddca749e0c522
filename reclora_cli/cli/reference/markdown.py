"""What the pages of the reference are written with."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence

GENERATED = (
    "Made of the code by `python -m reclora_cli.cli.reference docs/reference`; a test holds it."
)


def page(title: str, *parts: str) -> str:
    """A page from its parts, an empty line between them."""
    return "\n\n".join([f"# {title}", GENERATED, *(part for part in parts if part)]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; empty where there is no row."""
    lines = [_line(row) for row in rows]
    rule = "|" + "---|" * len(head)
    return "\n".join([_line(head), rule, *lines]) if lines else ""


def code(text: str) -> str:
    """``text`` as code in a line; empty stays empty."""
    return f"`{text}`" if text else ""


def paragraph(documented: object) -> str:
    """The first paragraph of a docstring, in one line."""
    return paragraph_of((inspect.getdoc(documented) or "").split("\n\n")[0])


def paragraph_of(text: str | None) -> str:
    """A text of docstrings in one line, with Markdown's marks of code."""
    return " ".join((text or "").replace("\f", " ").split()).replace("``", "`")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()) for cell in cells) + " |"
