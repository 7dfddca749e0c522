"""Every key of a recipe: type, default, meaning; from the typed tree and ``base.yaml``."""

from __future__ import annotations

import json
from itertools import groupby

from reclora_cli import recipe
from reclora_cli.cli.reference import markdown
from reclora_cli.recipe.delta import value_at
from reclora_cli.recipe.describe import Key, keys, section_of
from reclora_cli.recipe.tree import Recipe


def page() -> str:
    """The page of all keys, section by section."""
    rate, sequences = recipe.load("base"), recipe.load("next")
    found = [_part(name, list(group), rate, sequences) for name, group in groupby(keys(), _section)]
    return markdown.page(
        "Keys of a recipe",
        "What `--set section.key=value` and recipe files take. The default is that of "
        "`recipes/base.yaml`; where `recipes/next.yaml` (task `next`) has another, it stands "
        "behind *next*. Recipes of datasets say what differs: `reclora config show --origin`. "
        "`data.tables` and `prompt.texts` are told in "
        "[datasets.md](../datasets.md#your-own-data); `crms: {NAME: {...}}` in a recipe file holds "
        "what `crm` is where that model is chosen.",
        *found,
    )


def _section(key: Key) -> str:
    return key.path.partition(".")[0] if "." in key.path else ""


def _part(name: str, found: list[Key], rate: Recipe, sequences: Recipe) -> str:
    rows = [
        (f"`{one.path}`", one.type, _default(one, rate, sequences), one.meaning) for one in found
    ]
    told = section_of(Recipe.model_fields[name]) if name else None
    heading = f"## `{name}`\n\n{markdown.paragraph(told)}" if told else "## Above all sections"
    return f"{heading}\n\n{markdown.table(('key', 'type', 'default', 'meaning'), rows)}"


def _default(key: Key, rate: Recipe, sequences: Recipe) -> str:
    usual, other = (_shown(value_at(one, key.path)) for one in (rate, sequences))
    return usual if usual == other else f"{usual}; *next* {other}"


def _shown(value: object) -> str:
    return markdown.code(json.dumps(value) if not isinstance(value, str) else value)
