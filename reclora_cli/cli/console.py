"""The only printer: results to stdout, everything else to stderr."""

from __future__ import annotations

import io
import json
import math
import os
import sys
import traceback
from dataclasses import asdict
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.text import Text
from rich.theme import Theme

from reclora_cli import processes
from reclora_cli.errors import RecloraError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from reclora_cli.progress import Progress

# Named by meaning, from the terminal's own sixteen colours: they suit light and dark alike.
THEME = Theme(
    {
        "say": "dim",
        "warn": "magenta",
        "error": "bold red",
        "hint": "cyan",
        "key": "cyan",
        "good": "green",
        "strong": "bold",
        "faint": "dim",
        "bar": "cyan",
        "bar.over": "green",
        "bar.under": "magenta",
    }
)


class Console:
    """Two Rich consoles and the rules of what goes where.

    Args:
        json: results are one JSON object instead of tables.
        quiet: no progress and no messages; warnings, errors and results remain.
        verbose: libraries' own messages are let through.
        no_color: never colour; ``NO_COLOR`` in the environment says the same.
        debug: tracebacks are printed with errors.
    """

    def __init__(
        self,
        *,
        json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        no_color: bool = False,
        debug: bool = False,
    ) -> None:
        # Of processes that train together the main one tells; the others only of their own end.
        self._process = processes.started()
        self.json = json
        self.quiet = quiet or not self._process.main
        self.verbose = verbose
        self.debug = debug
        off = no_color or bool(os.environ.get("NO_COLOR"))
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        self.out = RichConsole(
            theme=THEME,
            no_color=off,
            highlight=False,
            markup=False,
            emoji=False,
            quiet=not self._process.main,
        )
        self.err = RichConsole(
            theme=THEME, no_color=off, highlight=False, markup=False, emoji=False, stderr=True
        )

    @property
    def interactive(self) -> bool:
        """A person sits here who can be asked; of several processes none asks."""
        return self._process.alone and sys.stdin.isatty() and self.err.is_terminal and not self.json

    @cached_property
    def progress(self) -> Progress:
        """What stages report to: bars on a terminal, a plain line now and then elsewhere."""
        from reclora_cli.cli.reporting import BarProgress, LineProgress, QuietProgress

        if self.quiet:
            return QuietProgress(self)
        return BarProgress(self) if self.err.is_terminal else LineProgress(self)

    # -- stdout ---------------------------------------------------------------------------------

    def result(self, result: DataclassInstance, view: RenderableType) -> None:
        """Print what a stage returned: as one JSON object, or as its ``view``."""
        if self.json:
            self.object(asdict(result))
        else:
            self.out.print(view)

    def line(self, text: str) -> None:
        """Print one plain line of data."""
        self.out.print(Text(text), soft_wrap=True)

    def object(self, content: Any) -> None:
        """Print ``content`` as one JSON object; what JSON has no number for is ``null``."""
        if not self._process.main:
            return
        ascii_only = not self.out.encoding.startswith("utf")
        text = json.dumps(_plain(content), ensure_ascii=ascii_only, indent=2, allow_nan=False)
        self.out.file.write(text + "\n")
        self.out.file.flush()

    # -- stderr ---------------------------------------------------------------------------------

    def say(self, message: str) -> None:
        """A line about what is going on; silent with ``--quiet``."""
        if not self.quiet:
            self._tell(Text(message, style="say"))

    def next(self, command: str) -> None:
        """Name the command that goes on from here; not in ``--json``, where nobody reads it."""
        if not (self.quiet or self.json):
            self._tell(Text.assemble(("Next: ", "say"), (command, "strong")))

    def warn(self, message: str) -> None:
        """A line the user should act on or know; printed even with ``--quiet``."""
        if self._process.main:
            self._tell(Text.assemble(("Warning: ", "warn"), message))

    def error(self, error: RecloraError) -> None:
        """What is wrong, where, and what mends it."""
        where = f"{error.where}: " if error.where else ""
        self._tell(Text.assemble(self._who(), ("Error: ", "error"), where, error.what))
        if error.hint:
            self._tell(Text(error.hint, style="hint"))
        self._report(what=error.what, where=error.where, hint=error.hint, exit_code=error.exit_code)

    def unexpected(self, error: Exception) -> None:
        """One line for what nobody foresaw; the traceback with ``--debug``."""
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        self._tell(Text.assemble(self._who(), ("Unexpected error: ", "error"), what))
        if not self.debug:
            self._tell(Text("Repeat the command with --debug for the traceback.", "hint"))
        self._report(what=what, where=None, hint=None, exit_code=1)

    def interrupted(self, advice: str) -> None:
        """The user stopped it; ``advice`` says how to go on."""
        if self._process.main:
            # On a terminal ^C, or a question, stands in the line already.
            begin = "\n" if self.err.is_terminal else ""
            self._tell(Text.assemble(begin, ("Interrupted. ", "warn"), advice))
        self._report(what="interrupted", where=None, hint=advice, exit_code=130)

    def traceback(self) -> None:
        """The traceback of the error being handled, with ``--debug`` only."""
        if self.debug:
            self._tell(Text(traceback.format_exc().rstrip(), style="faint"))

    def _who(self) -> str:
        return "" if self._process.main else f"Process {self._process.rank}: "

    def _tell(self, text: Text) -> None:
        # A line of a log file stays one line; a terminal's is broken between words.
        self.err.print(text, soft_wrap=not self.err.is_terminal)

    def _report(self, **error: str | int | None) -> None:
        if self.json:
            self.object({"error": error})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, PurePath) else value
