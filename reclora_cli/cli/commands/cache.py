"""``reclora cache``: LMs and original files that all workspaces share."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from reclora_cli.cli import ask
from reclora_cli.cli.options import OutputOptions, PlaceOptions, grouped
from reclora_cli.cli.session import Session, session
from reclora_cli.errors import UsageError

_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}

app = typer.Typer(
    help="List and prune LMs and original files.",
    epilog="Example: [cyan]reclora cache ls[/cyan]",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command("ls", epilog="Example: [cyan]reclora cache ls[/cyan]")
@grouped
def ls(*, output: OutputOptions) -> None:
    """What lies in the cache, with sizes and last use."""
    with session(output, PlaceOptions()) as opened:
        from reclora_cli.cli.render import cache as view
        from reclora_cli.stages import cache

        result = cache.look()
        opened.console.result(result, view.listed(result))


@app.command("prune", epilog="Example: [cyan]reclora cache prune --older-than 30d --dry-run[/cyan]")
@grouped
def prune(
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="As ls lists it, or a beginning that no other has.",
            show_default=False,
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="TIME", help="Only what was not used for so long: 12h, 30d, 8w."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Instead of names: all that reclora put there.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: OutputOptions,
) -> None:
    """Remove LMs and original files; they are fetched again when needed."""
    with session(output, PlaceOptions()) as opened:
        from reclora_cli.cli.render import cache as view
        from reclora_cli.stages import cache

        if not (names or older_than or everything) and opened.console.interactive:
            names = _chosen(opened)
        result = cache.prune(
            names or (),
            older_than=None if older_than is None else seconds(older_than),
            everything=everything,
            dry_run=dry_run,
            confirm=opened.person(yes=yes),
        )
        opened.console.result(result, view.pruned(result))


def _chosen(opened: Session) -> list[str]:
    """The entry that the person chooses; none where nothing may go."""
    from reclora_cli.stages import cache

    found = [one.name for one in cache.look().entries if one.ours]
    return [ask.choice(opened.console, "Entry", found)] if found else []


def seconds(text: str) -> float:
    """``"30d"`` -> 2,592,000; hours, days and weeks.

    Raises:
        UsageError: anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text.strip())
    if not found:
        raise UsageError(
            f"expected a time such as 30d, got {text!r}",
            where="--older-than",
            hint="Hours, days or weeks: 12h, 30d, 8w.",
        )
    return float(found[1]) * _SECONDS[found[2]]
