"""``reclora finetune --from-run``: tune a run again from its folder alone, and hold both together.

The folder's ``recipe.yaml``, ``shots.npy`` and manifest say what to do and what must be read. A run
of another workspace is tuned where such a run lies in this one; a run of this workspace is left
as it is, and tuned again in ``datasets/<dataset>/reproduced/<run>/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from reclora_cli import device as devices
from reclora_cli import processes
from reclora_cli import recipe as recipes
from reclora_cli.errors import CheckError, MissingInputError, UsageError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.recipe.layers import laid
from reclora_cli.stages import finetune, locate, runs
from reclora_cli.stages.finetune import FinetuneResult
from reclora_cli.stages.lm_training import LmTraining
from reclora_cli.stages.lm_tuned import Repeated
from reclora_cli.stages.run_compare import compared
from reclora_cli.workspace import Artefact, Manifest, Workspace


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    source: Path,
    device: str = "auto",
    force: bool = False,
    tensorboard: bool = False,
) -> FinetuneResult:
    """Tune the run in ``source`` again; stopped and repeated, it goes on from its checkpoint.

    Args:
        recipe: the run's own, as ``recipe_of`` reads it.
        force: tune it again, although that was done.

    Returns:
        what ``finetune`` returns, with a ``reproduction`` that compares both adapters.

    Raises:
        UsageError: several processes were started.
        MissingInputError: the run is unfinished, or what it is tuned from is missing.
        CheckError: its recipe was changed since, or the LM, the shots, the prompts, the labels or
            R_c are not those that it was tuned from; names which.
    """
    processes.require_alone("the reproduction of a run")
    original = Artefact(source)
    manifest = _finished(original)
    _require_unchanged(recipe, manifest, original, progress)
    inputs = locate.inputs_of("finetune", recipe, workspace)
    repeated = _repeated(manifest, inputs, original, progress)
    training = LmTraining(
        recipe, workspace, devices.pick(device), _place(recipe, workspace, original)
    )
    _require_shots(training, original)
    again = training.artefact
    with workspace.writing():
        fingerprint = locate.fingerprint_of("finetune", recipe)
        if force or again.changes(fingerprint, inputs) != []:
            result = finetune.make(
                training,
                inputs,
                progress,
                anew=force,
                tensorboard=tensorboard,
                repeated=repeated,
            )
        else:
            result = finetune.told_again(again)
    now = again.manifest()
    assert now is not None
    return replace(
        result, reproduction=compared(original.path, again.path, before=manifest, now=now)
    )


def folder_of(workspace: Workspace, named: str) -> Path:
    """The run folder that a user names: a path, or (the beginning of) a run's name.

    Raises:
        MissingInputError: the folder holds no run.
        UsageError: no run is called so, or several begin so.
    """
    path = Path(named).expanduser()
    if path.is_dir():
        if not (path / runs.RECIPE_FILE).is_file():
            raise MissingInputError(
                f"not a run's folder: it has no {runs.RECIPE_FILE}", where=str(path)
            )
        return path.absolute()
    return runs.named(workspace, named).path


def recipe_of(folder: Path) -> Recipe:
    """The recipe that a run folder keeps."""
    return recipes.load(folder / runs.RECIPE_FILE)


def require_same_recipe(folder: Path, kept: Recipe, wanted: Recipe, given: str) -> None:
    """Refuse to go on with a run under another recipe than its own.

    Args:
        given: the options that made ``wanted``, as typed.

    Raises:
        UsageError: naming every key that differs, and the commands that go on and start anew.
    """
    differing = runs.differing(kept, wanted)
    if differing:
        told = "".join(f"\n  {line}" for line in differing)
        raise UsageError(
            f"the recipe differs from that of {folder.name}:{told}",
            where="--from-run",
            hint=f"Go on with it as it is: `reclora finetune --from-run {folder.name}`. Start a "
            f"new run: `reclora finetune --recipe {folder / runs.RECIPE_FILE} {given}`.",
        )


def _finished(original: Artefact) -> Manifest:
    manifest = original.manifest()
    if manifest is None:
        raise MissingInputError(
            "the run is not finished: there is nothing to reproduce",
            where=str(original.path),
            hint="Tune it here by its recipe: "
            f"`reclora finetune --recipe {original.path / runs.RECIPE_FILE}`.",
        )
    return manifest


def _require_unchanged(
    recipe: Recipe, manifest: Manifest, original: Artefact, progress: Progress
) -> None:
    ours = locate.recipe_parts("finetune", recipe)
    as_tuned = laid(ours, manifest.recipe)  # Keys of later versions are filled in.
    edited = recipes.differences(as_tuned, ours)
    if edited:
        raise CheckError(
            f"{runs.RECIPE_FILE} is not the recipe that it was tuned by:"
            + "".join(f"\n  {line}" for line in edited),
            where=str(original.path),
            hint="Undo that to reproduce the run; tune a new one with "
            f"`reclora finetune --recipe {original.path / runs.RECIPE_FILE}`.",
        )
    added = recipes.differences(manifest.recipe, as_tuned)
    if added:
        progress.warn(
            "this version of reclora has keys that the run's did not: " + ", ".join(added)
        )


def _repeated(
    manifest: Manifest, inputs: Mapping[str, str], original: Artefact, progress: Progress
) -> Repeated:
    """What must be read and computed as then."""
    read: dict[str, str] = manifest.figures.get("read") or {}
    other = [name for name, identity in inputs.items() if manifest.inputs.get(name) != identity]
    if other and not read:
        raise CheckError(
            f"its {' and '.join(other)} {'are' if len(other) > 1 else 'is'} not what it was "
            "tuned from, by identity",
            where=str(original.path),
            hint="Reproduce it in the workspace in which it was tuned.",
        )
    if other:
        progress.say(
            f"{' and '.join(other)} made anew since {original.name} was tuned: "
            "whether it reads the same is checked by content"
        )
    return Repeated(read, manifest.figures.get("computed") or {})


def _require_shots(training: LmTraining, original: Artefact) -> None:
    """Before the LM is loaded: the rows must be the run's."""
    file = original.path / runs.SHOTS_FILE
    if not file.is_file():
        return
    kept = np.load(file, allow_pickle=False)
    if not np.array_equal(kept, training.rows):
        common = len(np.intersect1d(kept, training.rows))
        raise CheckError(
            f"the dataset as prepared here gives other shots: {common:,} of {len(kept):,} are "
            "the same",
            where=str(file),
            hint="Prepare it as the run's recipe says: "
            f"`reclora prepare {training.recipe.data.source} "
            f"--recipe {original.path / runs.RECIPE_FILE} --force`.",
        )


def _place(recipe: Recipe, workspace: Workspace, original: Artefact) -> Artefact:
    place = locate.run(recipe, workspace)
    if place.path.resolve() != original.path.resolve():
        return place
    return Artefact(workspace.dataset(recipe.data.source) / "reproduced" / place.name)
