"""The boundary where exceptions become sentences and exit codes.

0 done · 1 failed · 2 usage · 3 missing input · 4 a check did not hold · 130 interrupted
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from reclora_cli import processes
from reclora_cli.cli.console import Console
from reclora_cli.errors import RecloraError

INTERRUPTED = 130


@contextmanager
def explained(console: Console) -> Iterator[None]:
    """Run a command's body; whatever it raises is rendered and becomes an exit code.

    Raises:
        typer.Exit: with the code that the module's docstring lists.
    """
    try:
        yield
    except RecloraError as error:
        console.traceback()
        console.error(error)
        raise typer.Exit(error.exit_code) from None
    except (KeyboardInterrupt, typer.Abort):
        console.traceback()
        console.interrupted(_how_to_go_on())
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        _discard_output()
        raise typer.Exit(1) from None
    except PermissionError as error:
        console.traceback()
        console.error(
            RecloraError(
                "no permission to open it",
                where=error.filename and str(error.filename),
                hint="Ask for it, or name another place. The whole story: --debug.",
            )
        )
        raise typer.Exit(RecloraError.exit_code) from None
    except typer.Exit:
        raise
    except Exception as error:
        console.traceback()
        console.unexpected(error)
        raise typer.Exit(1) from None


def _how_to_go_on() -> str:
    started = processes.started()
    if started.alone:
        return f"To go on, run the same command again:\n  {own_command()}"
    return (
        f"One of the {started.count} processes was stopped, and all end. To go on, start the same "
        f"command again, in as many processes as you like:\n  {own_command()}"
    )


def own_command() -> str:
    """The command line this process was started with, as a shell takes it."""
    return shlex.join(["reclora", *sys.argv[1:]])


def _discard_output() -> None:
    # The reader went away (`reclora show | head`): Python's flush at exit must not fail again.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
