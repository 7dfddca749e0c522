"""Choices that a command needs and was not given: asked for on a terminal, an error elsewhere."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from reclora_cli.cli import ask
from reclora_cli.errors import MissingInputError, UsageError

if TYPE_CHECKING:
    from reclora_cli.cli.session import Session
    from reclora_cli.recipe import Recipe

_NAMED = 6


def run_of(opened: Session, given: str | None, what: str, without: Collection[str] = ()) -> str:
    """The run that is named, or chosen from those of the workspace, the newest first.

    Args:
        what: "run", or which of two.
        without: runs that are not offered.

    Raises:
        UsageError: none is named, and nobody is there to be asked.
        MissingInputError: there is no run.
    """
    if given is not None:
        return given
    from reclora_cli.stages import runs

    newest = sorted(runs.every(opened.workspace), key=_age, reverse=True)
    names = [run.name for run in newest if not any(run.name.startswith(one) for one in without)]
    if not names:
        raise MissingInputError(
            "no run is here" if not without else "no other run is here",
            where=str(opened.workspace.root),
            hint="Run `reclora finetune` first.",
        )
    if opened.console.interactive:
        return ask.choice(opened.console, what.capitalize(), names)
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    raise UsageError(
        f"which {what}?", where="RUN", hint=f"One of: {shown}. `reclora runs ls` shows them."
    )


def file_of(
    opened: Session, given: Path | None, what: str, option: str, *, default: str | None = None
) -> Path:
    """The file that is named, or what the person types.

    Args:
        what: what is in it.
        default: what Enter takes on a terminal.

    Raises:
        UsageError: none is named, and nobody is there to be asked.
    """
    if given is None:
        typed = opened.required(
            f"file of {what}", option, f"a file: {option} {default or 'FILE'}", default=default
        )
        given = Path(typed)
    return given.expanduser()


def experiment(opened: Session) -> str:
    """A table or figure of a paper, by its name, as ``reclora ablate`` makes it.

    Raises:
        UsageError: nobody is there to be asked.
    """
    from reclora_cli.recipe.experiment import experiment_names, load_experiment

    if not opened.console.interactive:
        raise UsageError(
            "nothing is named to compare",
            where="reclora ablate",
            hint="Say --table 3, --table ilora, --figure 4, or --variants uniform-gate.",
        )
    names = sorted(experiment_names(), key=lambda name: (name != "table-3", name))
    titles = {name: load_experiment(name).title for name in names}
    return ask.choice(opened.console, "Table or figure", names, titles)


def mixture_of(
    opened: Session, recipe: Recipe, run: str | None, user: str | None, item: str | None
) -> tuple[str | None, str | None, bool]:
    """On a terminal: the user, the item, and whether the mean is wanted, as ``export`` needs them.

    Elsewhere, and of a run without a gate, what was given; the stage says what it misses.
    """
    from reclora_cli.stages import locate, runs

    if not opened.console.interactive or (user is not None and item is not None):
        return user, item, False
    chosen = runs.choose_gated(opened.workspace, recipe.data.source, run, recipe.task)
    if not locate.informed(chosen.recipe):
        return user, item, False
    user = user or ask.text("User")
    if item is not None or chosen.recipe.gate.input == "user":
        return user, item, False
    item = ask.text_or_nothing("Item (Enter: the mean over the user's rows)") or None
    return user, item, item is None


def _age(run: object) -> float:
    from reclora_cli.workspace import MANIFEST, Artefact

    assert isinstance(run, Artefact)
    file = run.path / MANIFEST
    return (file if file.is_file() else run.path).stat().st_mtime
