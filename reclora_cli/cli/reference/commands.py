"""Every command with its arguments, options and defaults, from the Typer app."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from typing import Any, get_args

import typer

from reclora_cli.cli.app import app
from reclora_cli.cli.options import (
    OutputOptions,
    PlaceOptions,
    RecipeOptions,
    RunningOptions,
    WritingOptions,
)
from reclora_cli.cli.reference import markdown

_GROUPS: dict[str, Any] = {
    "Output": OutputOptions,
    "Recipe": RecipeOptions,
    "Place": PlaceOptions,
    "Running": RunningOptions,
    "Writing": WritingOptions,
}
"""Options that several commands share: told once."""
_HEAD = ("option", "default", "meaning")


def page() -> str:
    """The page of all commands."""
    commands = dict(_commands(typer.main.get_command(app)))
    shared = [f"## Options that commands share\n\n{_shared(commands)}"]
    return markdown.page(
        "Commands",
        "`reclora COMMAND --help` says the same. What a command asks for on a terminal where it is "
        "missing is told in [toolkit.md](../toolkit.md#what-is-asked).",
        "## `reclora`",
        markdown.paragraph_of(commands[""].help),
        _table(commands[""].params),
        *(_section(name, command) for name, command in commands.items() if name),
        *shared,
    )


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Each command by what is typed; of reclora alone the empty text."""
    if not before:
        yield "", group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name} ")
        else:
            yield f"{before}{name}", command


def _section(name: str, command: Any) -> str:
    groups = [group for group, kind in _GROUPS.items() if _has(command, kind)]
    theirs = {field.name for group in groups for field in fields(_GROUPS[group])}
    own = [one for one in command.params if one.name not in theirs]
    example = re.sub(r"\[/?cyan\]", "", command.epilog or "").removeprefix("Example: ")
    also = ", ".join(f"[{group}](#{group.lower()})" for group in groups)
    parts = [
        f"## `reclora {name}`",
        markdown.paragraph_of(command.help),
        f"Example: `{example}`",
        _table(own),
        f"And the options of {also}." if also else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _has(command: Any, group: Any) -> bool:
    return {field.name for field in fields(group)} <= {one.name for one in command.params}


def _shared(commands: dict[str, Any]) -> str:
    parts = []
    for name, group in _GROUPS.items():
        command = next(one for key, one in commands.items() if key and _has(one, group))
        wanted = {field.name for field in fields(group)}
        parts.append(
            f"### {name}\n\n{_table([one for one in command.params if one.name in wanted])}"
        )
    return "\n\n".join(parts)


def _table(parameters: list[Any]) -> str:
    shown = [one for one in parameters if not getattr(one, "hidden", False)]
    return markdown.table(_HEAD, [(_called(one), _default(one), one.help or "") for one in shown])


def _called(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return markdown.code(parameter.metavar or parameter.name.upper())
    names = [*parameter.opts, *parameter.secondary_opts]
    value = "" if parameter.is_flag else f" {_value(parameter)}"
    return ", ".join(markdown.code(name) for name in names) + value.replace("|", "\\|")


def _value(parameter: Any) -> str:
    annotation = parameter.get_runtime_param().annotation
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Enum):
            return " | ".join(markdown.code(one.value) for one in kind)
    return parameter.metavar or ""


def _default(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    value, flag = parameter.default, getattr(parameter, "is_flag", False)
    if parameter.required:
        return "must be given"
    if value is None or (flag and not value):
        return ""
    if flag and parameter.secondary_opts:
        return markdown.code(parameter.opts[0])
    return markdown.code(str(getattr(value, "value", value)))
