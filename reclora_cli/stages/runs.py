"""Runs in a workspace: the folders that ``finetune`` writes.

recipe.yaml  log.jsonl  adapter/  shots.npy  checkpoints/ (while it runs)  manifest.json
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from reclora_cli import recipe as recipes
from reclora_cli.errors import MissingInputError, RecloraError, UsageError, did_you_mean
from reclora_cli.progress import Progress
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate
from reclora_cli.workspace import MANIFEST, Artefact, Manifest, Workspace

RECIPE_FILE = "recipe.yaml"
COMPUTED_FILE = "computed.json"
SHOTS_FILE = "shots.npy"


@dataclass(frozen=True)
class Run:
    """A finished run, with the recipe it was made by."""

    artefact: Artefact
    recipe: Recipe
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.artefact.name


Named = TypeVar("Named", Run, Artefact)


@dataclass(frozen=True)
class Unfinished:
    """A run that was interrupted."""

    artefact: Artefact
    recipe: Recipe

    @property
    def name(self) -> str:
        return self.artefact.name


def opened(artefact: Artefact) -> Run | None:
    """The run in a folder; ``None`` while it is unfinished."""
    manifest = artefact.manifest()
    return None if manifest is None else Run(artefact, recipe_of(artefact), manifest)


def finished(workspace: Workspace, dataset: str, task: str | None = None) -> list[Run]:
    """Finished runs of a dataset, of one task or of any, the latest at the end."""
    found = (opened(artefact) for artefact in workspace.artefacts(dataset, "runs"))
    return [run for run in found if run is not None and task in {None, run.recipe.task}]


def interrupted(workspace: Workspace, dataset: str, task: str | None = None) -> Unfinished | None:
    """The run, of one task or of any, that stopped last with a checkpoint to go on from."""
    found = [
        Unfinished(artefact, recipe_of(artefact))
        for artefact in workspace.artefacts(dataset, "runs")
        if artefact.manifest() is None
        and any((artefact.path / "checkpoints").glob("step-*"))
        and (artefact.path / RECIPE_FILE).is_file()
    ]
    return next((one for one in reversed(found) if task in {None, one.recipe.task}), None)


def differing(before: Recipe, now: Recipe) -> list[str]:
    """What decides a run and is not the same, key by key, as ``key: before -> now``.

    Starts (``adapter.start``) are told apart by place: one that a run once had may be gone.
    """
    old, new = (_placed_parts(recipe) for recipe in (before, now))
    return recipes.differences(old, new)


def family(recipe: Recipe) -> str:
    """What decides a run but for its seed, as a hash: runs of one family differ in that alone.

    Starts are told apart by place, as in ``differing``.
    """
    return recipes.fingerprint(_placed_parts(recipe.model_copy(update={"seed": 0})))


def choose(
    workspace: Workspace, dataset: str, name: str | None = None, task: str | None = None
) -> Run:
    """The run called ``name`` (or beginning so), else the latest finished one.

    Args:
        task: whose runs are looked at; ``None``: of any.

    Raises:
        MissingInputError: the dataset has no finished run.
        UsageError: none is called so, or several begin so, or it is one of another dataset or
            task.
    """
    known = finished(workspace, dataset, task)
    if name is not None:
        _refuse_of_other_task(workspace, dataset, name, known)
        _refuse_elsewhere(workspace, dataset, name, known)
    if not known:
        raise MissingInputError(
            f"no finished run of {dataset} here",
            where=str(workspace.root),
            hint="Run `reclora finetune` first.",
        )
    if name is None:
        return known[-1]
    return _called(name, known, "--run")


def named(workspace: Workspace, name: str, where: str = "--from-run") -> Artefact:
    """The run called ``name`` (or beginning so) of any dataset, finished or not.

    Args:
        where: the option or argument that named it, for errors.

    Raises:
        UsageError: none is called so, or several begin so.
    """
    return _called(name, [run for run in every(workspace) if _has_recipe(run)], where)


def folder_named(workspace: Workspace, name: str, where: str) -> Artefact:
    """As ``named``; also one that was killed before its recipe was written.

    Raises:
        UsageError: none is called so, or several begin so.
    """
    return _called(name, every(workspace), where)


def every(workspace: Workspace) -> list[Artefact]:
    """The runs of all datasets, also of those that are not prepared any more."""
    return [
        artefact
        for dataset in datasets(workspace)
        for artefact in workspace.artefacts(dataset, "runs")
    ]


def datasets(workspace: Workspace) -> list[str]:
    """Datasets that have runs, by name."""
    return sorted(path.parent.name for path in workspace.root.glob("datasets/*/runs"))


def dataset_of(artefact: Artefact) -> str:
    """The dataset that a run's folder lies in."""
    return artefact.path.parent.parent.name


def step_reached(artefact: Artefact) -> int:
    """The step of an interrupted run's last checkpoint; 0 where it has none."""
    found = (artefact.path / "checkpoints").glob("step-*")
    return max((int(path.name.removeprefix("step-")) for path in found), default=0)


def recipe_of(artefact: Artefact) -> Recipe:
    """The recipe that a run's folder keeps.

    Raises:
        RecloraError: it is missing or damaged.
    """
    file = artefact.path / RECIPE_FILE
    try:
        return recipes.load(file)
    except RecloraError as error:
        raise RecloraError(
            f"the run's recipe cannot be read: {error.what}",
            where=str(file),
            hint=f"Drop the run: `reclora runs rm {artefact.name}`. `reclora doctor` tells more.",
        ) from error


def surroundings(manifest: Manifest) -> dict[str, Any]:
    """What a run was computed with: package versions, machine, device, threads and the like."""
    computed: dict[str, Any] = manifest.figures.get("computed") or {}
    return {**manifest.versions, "machine": manifest.machine, **computed}


def choose_gated(
    workspace: Workspace, dataset: str, name: str | None = None, task: str | None = None
) -> Run:
    """The run called ``name``, else the latest finished one that has a gate, else the latest."""
    if name is None:
        known = finished(workspace, dataset, task)
        gated = [run for run in known if locate.informed(run.recipe)]
        if gated:
            return gated[-1]
    return choose(workspace, dataset, name, task)


def to_evaluate(
    recipe: Recipe, workspace: Workspace, named: Sequence[str], progress: Progress
) -> list[Run]:
    """The runs ``named``, each once; without any, the latest finished one of the task, or none.

    Raises:
        UsageError: no such run.
        RecloraError: what a run was made from has changed.
    """
    dataset, task = recipe.data.source, recipe.task
    if not named and not finished(workspace, dataset, task):
        return []
    wanted: list[str | None] = [*named] or [None]
    chosen = {run.name: run for run in (choose(workspace, dataset, n, task) for n in wanted)}
    for run in chosen.values():
        check_inputs(run, workspace)
        if not named:
            progress.say(f"Run: {run.name}, the latest finished")
    return list(chosen.values())


def check_inputs(run: Run, workspace: Workspace) -> None:
    """What the run was made from must be what lies there now.

    Raises:
        RecloraError: the store, index or CRM changed since; names them.
    """
    inputs = locate.inputs_of("finetune", run.recipe, workspace)
    changed = [
        name for name, identity in inputs.items() if run.manifest.inputs.get(name) != identity
    ]
    if changed:
        raise RecloraError(
            f"its {' and '.join(changed)} changed since it was tuned",
            where=run.name,
            hint="Tune it again: `reclora finetune` with the same options.",
        )


def _refuse_of_other_task(
    workspace: Workspace, dataset: str, name: str, here: Sequence[Run]
) -> None:
    """Say of which task a run is that is called ``name``, and not looked at."""
    if any(run.name.startswith(name) for run in here):
        return
    found = [run for run in finished(workspace, dataset) if run.name.startswith(name)]
    if found:
        raise UsageError(
            f"{found[0].name} is a run of the task {found[0].recipe.task}, and this is about the "
            "other one",
            where="--run",
            hint=f"Name the recipe that it was tuned by: --recipe {dataset}, or {dataset}-next.",
        )


def _refuse_elsewhere(workspace: Workspace, dataset: str, name: str, here: Sequence[Run]) -> None:
    """Say of which dataset a run is that is called ``name`` there, and not here."""
    if any(run.name.startswith(name) for run in here):
        return
    for other in workspace.datasets():
        if other == dataset:
            continue
        found = [
            artefact.name
            for artefact in workspace.artefacts(other, "runs")
            if artefact.name.startswith(name) and (artefact.path / MANIFEST).is_file()
        ]
        if found:
            raise UsageError(
                f"{found[0]} is a run of {other}, and this is about {dataset}",
                where="--run",
                hint=f"Models are compared on rows of one dataset: add `--recipe {other}`, or "
                f"name a run of {dataset}.",
            )


def _called(name: str, known: Sequence[Named], where: str) -> Named:
    """The one of ``known`` that is called ``name``, or begins so."""
    exact = [run for run in known if run.name == name]
    found = exact or [run for run in known if run.name.startswith(name)]
    if len(found) != 1:
        what = f"several runs begin with {name!r}" if found else f"no run is called {name!r}"
        names = [run.name for run in found or known]
        raise UsageError(what, where=where, hint=did_you_mean(name, names, by_beginning=True))
    return found[0]


def _placed_parts(recipe: Recipe) -> dict[str, Any]:
    """What decides a run, with the place of its start, which is not read."""
    startless = recipe.adapter.model_copy(update={"start": None})
    parts = locate.recipe_parts("finetune", recipe.model_copy(update={"adapter": startless}))
    return parts | {"adapter": parts["adapter"] | {"start": recipe.adapter.start}}


def _has_recipe(artefact: Artefact) -> bool:
    return (artefact.path / RECIPE_FILE).is_file()
