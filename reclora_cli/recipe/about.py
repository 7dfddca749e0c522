"""What a shipped recipe says of itself: the comment that heads its file."""

from __future__ import annotations

import re

from reclora_cli.recipe.load import recipes_folder


def about(name: str, kind: str = "") -> str:
    """The comment of a shipped recipe, in one line; empty where there is none.

    Args:
        kind: folder of recipes, as ``load.names`` takes it.
    """
    text = (recipes_folder() / kind / f"{name}.yaml").read_text(encoding="utf-8")
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines)


def first_sentence(text: str) -> str:
    """Up to the first full stop or colon that a space follows."""
    return re.split(r"(?<=[a-z)])[.:] ", text, maxsplit=1)[0].rstrip(".")


def parameters(text: str) -> float | None:
    """Parameters of an LM that ``about`` tells, as in ``596 M parameters``; ``None``: not told."""
    found = re.search(r"(\d+(?:\.\d+)?) (M|B) parameters", text)
    return float(found[1]) * {"M": 1e6, "B": 1e9}[found[2]] if found else None
