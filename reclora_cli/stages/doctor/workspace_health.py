"""Whether everything in a workspace is what was written, by the hashes it was written with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reclora_cli.errors import RecloraError
from reclora_cli.progress import Progress
from reclora_cli.stages import kept_evaluations, kept_next_evaluations, runs
from reclora_cli.stages.doctor import contents
from reclora_cli.stages.doctor.findings import (
    FAIL,
    OK,
    WARN,
    ArtefactHealth,
    Check,
    WorkspaceHealth,
)
from reclora_cli.workspace import Artefact, Workspace

PART = "workspace"
WHOLE, UNFINISHED, DAMAGED = "whole", "unfinished", "damaged"
_FOLDERS = {"index": "index", "crm": "crm", "encoders": "encoder", "runs": "run"}
_LEFT_ENDINGS = (".part", ".old", ".removed")


def look(workspace: Workspace, progress: Progress) -> WorkspaceHealth:
    """Read every artefact; damaged ones are told, not raised."""
    found = list(_artefacts(workspace))
    healths = []
    with progress.task("check the workspace", len(found), "artefacts") as task:
        for kind, dataset, artefact in found:
            healths.append(_health(workspace, kind, dataset, artefact))
            task.advance()
    return WorkspaceHealth(
        folder=str(workspace.root),
        exists=workspace.root.is_dir(),
        writer=workspace.writer(),
        artefacts=healths,
        leftovers=_leftovers(workspace.root),
        unreadable=[
            file
            for dataset in workspace.dataset_folders()
            for kept in (kept_evaluations, kept_next_evaluations)
            for file in kept.read_all(workspace, dataset).unreadable
        ],
    )


def checks(health: WorkspaceHealth) -> list[Check]:
    """Damaged artefacts fail; interrupted ones and leftovers are worth knowing."""
    if not health.exists:
        hint = "Begin with `reclora demo` or `reclora prepare ml-1m`."
        return [Check(PART, "folder", OK, f"{health.folder} is not there yet", hint)]
    return [
        *_of_artefacts(health),
        *(
            Check(PART, Path(file).name, WARN, "an evaluation that cannot be read", _drop(file))
            for file in health.unreadable
        ),
        *(
            Check(PART, Path(file).name, WARN, "left by a process that was killed", _drop(file))
            for file in (health.leftovers if health.writer is None else [])
        ),
        _writer(health.writer),
    ]


def _of_artefacts(health: WorkspaceHealth) -> Iterator[Check]:
    whole = [one for one in health.artefacts if one.state == WHOLE]
    if whole or not health.artefacts:
        hashed = sum(one.hashed for one in whole)
        told = f"{len(whole)} whole; {hashed} files have the SHA-256 they were written with"
        older = sum(one.hashed == 0 for one in whole)
        if older:
            told += f"; of {older} an earlier version kept no hashes, their files open"
        yield Check(PART, "artefacts", OK, told)
    for one in health.artefacts:
        if one.state != WHOLE:
            state = FAIL if one.state == DAMAGED else WARN
            name = one.name if one.kind in {"run", "crm", "encoder"} else f"{one.kind} {one.name}"
            yield Check(PART, name, state, one.told, one.hint)


def _writer(writer: str | None) -> Check:
    if writer is None:
        return Check(PART, "writer", OK, "no process writes here")
    told = f"{writer} writes here now: what is unfinished may be under way"
    return Check(PART, "writer", OK, told)


def _drop(path: str) -> str:
    return f"Nothing reads it; to be rid of it: rm -r {path}"


def _artefacts(workspace: Workspace) -> Iterator[tuple[str, str, Artefact]]:
    for dataset in workspace.dataset_folders():
        for kind, artefact in (
            ("store", workspace.store(dataset)),
            ("sequences", workspace.sequences(dataset)),
        ):
            if artefact.path.is_dir():
                yield kind, dataset, artefact
        for folder, kind in _FOLDERS.items():
            for artefact in workspace.artefacts(dataset, folder):
                yield kind, dataset, artefact


def _health(workspace: Workspace, kind: str, dataset: str, artefact: Artefact) -> ArtefactHealth:
    name = dataset if kind in {"store", "sequences"} else artefact.name
    last = (workspace.datasets() or [dataset])[-1]
    recipe = "" if dataset == last else f" --recipe {dataset}"
    try:
        manifest = artefact.manifest()
        if manifest is None:
            told, hint = _interrupted(kind, artefact, recipe)
            return ArtefactHealth(kind, name, dataset, UNFINISHED, 0, told, hint)
        contents.require_recorded(artefact.path, manifest.files)
        hashed = len(manifest.files) + contents.OWN_CHECKS[kind](artefact.path)
    except Exception as error:  # Damage may raise anything.
        what = error.what if isinstance(error, RecloraError) else str(error)
        hint = _mend(kind, dataset, artefact, recipe)
        return ArtefactHealth(kind, name, dataset, DAMAGED, 0, what, hint)
    return ArtefactHealth(kind, name, dataset, WHOLE, hashed, "", "")


def _interrupted(kind: str, artefact: Artefact, recipe: str) -> tuple[str, str]:
    if kind == "run":
        step, name = runs.step_reached(artefact), artefact.name
        told = (
            f"interrupted at step {step:,}" if step else "interrupted before its first checkpoint"
        )
        if step:
            return told, (
                f"Go on: `reclora finetune --from-run {name}`. Drop it: `reclora runs rm {name}`."
            )
        return told, f"Drop it: `reclora runs rm {name}`."
    return "interrupted", f"The same command goes on: `{_command(kind, artefact, recipe)}`."


def _mend(kind: str, dataset: str, artefact: Artefact, recipe: str) -> str:
    if kind == "store":
        return f"Write it again: `reclora prepare {dataset} --force`."
    if kind == "sequences":
        return f"Write it again: `reclora prepare --recipe {dataset} --force`."
    if kind == "run":
        drop = f"Drop it: `reclora runs rm {artefact.name}`."
        try:
            runs.recipe_of(artefact)
        except RecloraError:
            return drop
        own = artefact.path / runs.RECIPE_FILE
        return f"Tune it again: `reclora finetune --recipe {own} --force`. {drop}"
    return f"Make it again: `{_command(kind, artefact, recipe)} --force`, with its other options."


def _command(kind: str, artefact: Artefact, recipe: str) -> str:
    if kind == "index":
        return f"reclora build-index{recipe}"
    model = artefact.name.rpartition("-")[0] or artefact.name
    if kind in {"crm", "encoder"}:
        return f"reclora pretrain-crm --model {model}{recipe}"
    return f"reclora prepare{recipe}"


def _leftovers(root: Path) -> list[str]:
    """Half-written files and folders: their names begin with a dot and end as given."""
    return sorted(
        str(path) for path in root.glob("datasets/**/.*") if path.name.endswith(_LEFT_ENDINGS)
    )
