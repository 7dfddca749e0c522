"""``reclora runs rm``: take runs away, with their scores.

What stands by itself stays: adapters exported from a run, its reproductions, and evaluations, which
record what was measured. Each is named in the result.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reclora_cli.data.download import Confirm
from reclora_cli.errors import UsageError
from reclora_cli.stages import kept_evaluations, kept_next_evaluations, list_runs, runs
from reclora_cli.stages.kept_evaluations import KeptEvaluation
from reclora_cli.stages.kept_next_evaluations import KeptNextEvaluation
from reclora_cli.workspace import Artefact, Workspace, explain_os_errors

_SUFFIX = ".removed"


@dataclass(frozen=True)
class Removal:
    """A run that is taken away.

    Attributes:
        bytes: of its folder.
        stays: paths, relative to the workspace, of what refers to it and is kept.
    """

    name: str
    dataset: str
    state: str
    bytes: int
    stays: list[str]


@dataclass(frozen=True)
class RemovedRuns:
    """What was removed; nothing, where the person said no."""

    workspace: str
    removed: list[Removal]


def run(
    workspace: Workspace,
    names: Sequence[str] = (),
    *,
    unfinished: bool = False,
    confirm: Confirm | None = None,
) -> RemovedRuns:
    """Remove runs by name, or all interrupted ones. Killed half-way, a run is whole or gone.

    Args:
        names: of runs, or unique beginnings.
        unfinished: instead of names: every run without a manifest.
        confirm: who is asked; ``None`` where nobody can be.

    Raises:
        UsageError: names that fit no run or several, nothing or both asked for, or nobody to ask.
        RecloraError: another process writes in this workspace (so perhaps one of these runs).
    """
    if bool(names) == unfinished:
        what = "names and --unfinished" if names else "no run is named"
        raise UsageError(what, where="RUN", hint="Give names, or --unfinished.")
    for name in names:  # Before a lock is taken, which would make a workspace where none is.
        runs.folder_named(workspace, name, "RUN")
    if not runs.every(workspace):
        return RemovedRuns(str(workspace.root), [])
    # Found again under the lock: nobody finishes, makes or removes a run from here on.
    with workspace.writing():
        chosen = _unfinished(workspace) if unfinished else _named(workspace, names)
        removals = [_removal(workspace, artefact) for artefact in chosen]
        if removals and not _agreed(removals, confirm):
            return RemovedRuns(str(workspace.root), [])
        for artefact in chosen:
            _remove(artefact)
        _sweep(workspace)
    return RemovedRuns(str(workspace.root), removals)


def _named(workspace: Workspace, names: Sequence[str]) -> list[Artefact]:
    found = [runs.folder_named(workspace, name, "RUN") for name in names]
    return list({artefact.path: artefact for artefact in found}.values())


def _unfinished(workspace: Workspace) -> list[Artefact]:
    return [
        artefact
        for artefact in runs.every(workspace)
        if list_runs.opened(artefact)[2] == list_runs.UNFINISHED
    ]


def _removal(workspace: Workspace, artefact: Artefact) -> Removal:
    dataset = runs.dataset_of(artefact)
    place = workspace.dataset(dataset)
    referring = [place / kind / artefact.name for kind in ("exports", "reproduced")]
    stays = [path for path in referring if path.exists()]
    evaluations: list[KeptEvaluation | KeptNextEvaluation] = [
        *kept_evaluations.read_all(workspace, dataset).evaluations,
        *kept_next_evaluations.read_all(workspace, dataset).evaluations,
    ]
    stays += [
        Path(one.file)
        for one in evaluations
        if any(model.name == artefact.name for model in one.models)
    ]
    return Removal(
        name=artefact.name,
        dataset=dataset,
        state=list_runs.opened(artefact)[2],
        bytes=sum(path.stat().st_size for path in artefact.path.rglob("*") if path.is_file()),
        stays=[path.relative_to(workspace.root).as_posix() for path in stays],
    )


def _agreed(removals: Sequence[Removal], confirm: Confirm | None) -> bool:
    names = ", ".join(f"{one.name} ({one.state})" for one in removals)
    if confirm is None:
        raise UsageError(
            f"nobody is here to agree to the removal of {names}",
            where="RUN",
            hint="Repeat the command with --yes.",
        )
    return confirm(f"Remove {names} for good?")


def _remove(artefact: Artefact) -> None:
    """By one renaming: names with a dot are nobody's run, whatever is left of them."""
    with explain_os_errors(artefact.path):
        gone = artefact.path.with_name(f".{artefact.name}{_SUFFIX}")
        shutil.rmtree(gone, ignore_errors=True)
        artefact.path.rename(gone)
        shutil.rmtree(gone)


def _sweep(workspace: Workspace) -> None:
    """Finish removals that were killed half-way."""
    for left in workspace.root.glob(f"datasets/*/runs/.*{_SUFFIX}"):
        shutil.rmtree(left, ignore_errors=True)
