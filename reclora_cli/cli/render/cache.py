"""The cache: what lies there, and what was taken away."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import count, size
from reclora_cli.cli.render.layout import heading, stack, table

if TYPE_CHECKING:
    from reclora_cli.stages.cache import CacheEntry, CacheList, PrunedCache

_DAY = 86400


def listed(result: CacheList) -> RenderableType:
    """A table, the largest first."""
    if not result.entries:
        return Text(f"Nothing in {result.folder} yet.")
    foreign = any(not entry.ours for entry in result.entries)
    return stack(
        heading(result.folder, size(result.bytes)),
        _table(result.entries),
        Text("foreign: not put there by reclora, never removed by it", "faint")
        if foreign
        else None,
    )


def pruned(result: PrunedCache) -> RenderableType:
    """What is gone, or would be."""
    if not result.chosen:
        return Text("Nothing to remove.")
    if result.dry_run:
        total = sum(entry.bytes for entry in result.chosen)
        return stack(
            heading(f"{size(total)} would be freed", "dry run: nothing is removed"),
            _table(result.chosen),
        )
    if not result.removed and not result.busy:
        return Text("Nothing was removed.")
    lines = [
        Text.assemble(("Removed ", "strong"), f"{entry.name}, {size(entry.bytes)}")
        for entry in result.removed
    ]
    lines += [
        Text.assemble(("Stays ", "warn"), f"{entry.name}: another process works on it")
        for entry in result.busy
    ]
    return Text("\n").join([*lines, Text(f"{size(result.freed)} freed", "faint")])


def _table(entries: Sequence[CacheEntry]) -> Table:
    made = table("entry", "kind", "size", "files", "last used", left=("kind", "last used"))
    for entry in entries:
        made.add_row(
            Text(entry.name, "strong" if entry.ours else "faint"),
            Text(entry.kind, "" if entry.ours else "faint"),
            size(entry.bytes),
            count(entry.files),
            _ago(entry.used),
        )
    return made


def _ago(used: float) -> str:
    days = int((time.time() - used) // _DAY)
    return "today" if days < 1 else "yesterday" if days == 1 else f"{count(days)} days ago"
