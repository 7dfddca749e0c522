"""A table to a file, in the format that the file's name ends in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.tabular.comma_separated import to_csv
from reclora_cli.tabular.latex import to_latex
from reclora_cli.tabular.markdown import to_markdown
from reclora_cli.tabular.table import Table
from reclora_cli.workspace import require_place, write_text

WRITERS: Mapping[str, Callable[[Table], str]] = {
    ".csv": to_csv,
    ".md": to_markdown,
    ".tex": to_latex,
}


def check_format(path: Path, also: tuple[str, ...] = (), option: str = "--save") -> str:
    """The format that ``path`` asks for, e.g. ``.csv``; call it before any work is done.

    Args:
        also: formats that the caller writes itself, e.g. ``(".json",)``.
        option: the option that ``path`` was given by.

    Raises:
        UsageError: the name ends in none of the known ones, or it cannot be written there.
    """
    require_place(path, option)
    suffix, known = path.suffix.lower(), (*also, *WRITERS)
    if suffix not in known:
        raise UsageError(
            f"{path.name} names no format of a table",
            where=option,
            hint=f"End it in {', '.join(known[:-1])} or {known[-1]}.",
        )
    return suffix


def save(table: Table | Sequence[Table], path: Path) -> None:
    """Write ``table``, or several below each other, to ``path``, atomically.

    Raises:
        UsageError: as ``check_format``.
        RecloraError: the file cannot be written.
    """
    write, tables = WRITERS[check_format(path)], [table] if isinstance(table, Table) else table
    text = "\n".join(write(one) for one in tables)
    try:
        write_text(path, text)
    except OSError as error:
        raise RecloraError(
            f"the table cannot be written ({error.strerror})",
            where=str(path),
            hint="Name a file in a folder that you may write to.",
        ) from error
