"""What ``doctor`` found: a mark, what was looked at, what was found, and what mends it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.layout import heading, indented, stack

if TYPE_CHECKING:
    from reclora_cli.stages.doctor import Check, Diagnosis

_STYLES = {"ok": "good", "warn": "warn", "fail": "error", "skipped": "faint"}
_NAME_WIDTH = 36


def render(found: Diagnosis) -> RenderableType:
    """Versions, then every check part by part, then the verdict."""
    parts = groupby(found.checks, key=lambda check: check.part)
    return stack(
        heading(*_versions(found)),
        *(_part(name, list(checks)) for name, checks in parts),
        _verdict(found),
    )


def _versions(found: Diagnosis) -> tuple[str, str]:
    told = [f"{name} {version}" for name, version in found.versions.items() if name != "reclora"]
    if found.torch_build:
        told = [f"{one} ({found.torch_build})" if one.startswith("torch ") else one for one in told]
    return f"reclora {found.versions['reclora']}", ", ".join(told)


def _part(name: str, checks: list[Check]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(max_width=_NAME_WIDTH, overflow="fold")
    grid.add_column(overflow="fold")
    hints = [check.hint for check in checks]
    for check, later in zip(checks, [*hints[1:], ""], strict=True):
        told = Text(check.told)
        if check.hint != later:  # One hint for several checks in a row stands below the last.
            told.append(f"\n{check.hint}" if check.hint else "", "hint")
        grid.add_row(Text(check.state, _STYLES[check.state]), Text(check.name, "key"), told)
    return Group(Text(name, "strong"), indented(grid))


def _verdict(found: Diagnosis) -> Text:
    warnings = sum(check.state == "warn" for check in found.checks)
    failures = sum(check.state == "fail" for check in found.checks)
    told = f"{warnings} warning{'' if warnings == 1 else 's'}"
    if found.usable:
        return Text.assemble(("Usable", "good"), f", {told}.")
    return Text.assemble((f"{failures} broken", "error"), f", {told}.")
