"""Writes the pages of the reference into a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from reclora_cli.cli.reference import commands, names, python_api, recipe_keys, surroundings
from reclora_cli.workspace import write_text

PAGES = {
    "commands.md": commands.page,
    "names.md": names.page,
    "python.md": python_api.page,
    "recipe.md": recipe_keys.page,
    "surroundings.md": surroundings.page,
}


def pages() -> dict[str, str]:
    """Each page of the reference by the name of its file."""
    return {name: make() for name, make in PAGES.items()}


def write(folder: Path) -> None:
    """Write every page into ``folder``."""
    for name, text in pages().items():
        write_text(folder / name, text)


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference"))
