"""``reclora runs show``: one run, from its recipe to its kept scores, and how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reclora_cli import recipe as recipes
from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.metrics.compare import Figure
from reclora_cli.recipe import Recipe
from reclora_cli.recipe.delta import ChangedKey, changed_keys
from reclora_cli.stages import (
    kept_evaluations,
    kept_next_evaluations,
    list_runs,
    locate,
    runs,
)
from reclora_cli.stages.kept_evaluations import KeptEvaluation
from reclora_cli.stages.kept_next_evaluations import KeptNextEvaluation
from reclora_cli.stages.list_runs import RunLine
from reclora_cli.stages.own_recipe import kept_recipe
from reclora_cli.workspace import Artefact, Manifest, Workspace

SAME, CHANGED, MISSING = "same", "changed", "missing"


@dataclass(frozen=True)
class InputState:
    """An artefact that a run was tuned from.

    Attributes:
        state: ``same``: it is still what lies there; ``changed`` or ``missing`` otherwise.
    """

    name: str
    identity: str
    state: str


@dataclass(frozen=True)
class KeptFile:
    """A file of the run's folder; ``path`` is relative to it."""

    path: str
    bytes: int


@dataclass(frozen=True)
class KeptScores:
    """P(yes) of rows, kept by ``evaluate``; of the task ``next`` scores of candidates.

    Attributes:
        rows_hash: of a whole set of rows; empty of the task ``next``, whose file grows.
        rows: ``None`` where the file is damaged.
    """

    file: str
    split: str
    rows_hash: str
    rows: int | None


@dataclass(frozen=True)
class EvaluatedRun:
    """The run's part in a kept evaluation.

    Attributes:
        beside: names of the other models on the same rows.
        current: it was this very run that was scored, not one before it was tuned again.
    """

    file: str
    split: str
    rows: int
    subset: bool
    rows_hash: str
    figures: dict[str, Figure]
    beside: list[str]
    current: bool


@dataclass(frozen=True)
class ShownRun:
    """One run.

    Attributes:
        base: the recipe that ``changed`` is against: the shipped one of its dataset, or one's own.
        changed: keys of its recipe that are not as in ``base``.
        manifest: ``None`` while it is unfinished.
        repeat: the command that tunes it again, or goes on with it.
    """

    line: RunLine
    path: str
    base: str
    changed: list[ChangedKey]
    manifest: Manifest | None
    inputs: list[InputState]
    files: list[KeptFile]
    scores: list[KeptScores]
    evaluations: list[EvaluatedRun]
    repeat: str


def run(workspace: Workspace, name: str) -> ShownRun:
    """Everything that is known of the run called ``name``, or beginning so.

    Raises:
        UsageError: none is called so, or several begin so.
        RecloraError: its manifest or recipe is damaged.
        MissingInputError: there is no run at all.
    """
    artefact = chosen(workspace, name)
    manifest = artefact.manifest()
    recipe = runs.recipe_of(artefact)
    dataset = runs.dataset_of(artefact)
    base, below = base_of(recipe, workspace, dataset)
    kept = kept_evaluations.read_all(workspace, dataset).evaluations
    kept_next = kept_next_evaluations.read_all(workspace, dataset).evaluations
    return ShownRun(
        line=list_runs.line(artefact, dataset, kept, kept_next),
        path=str(artefact.path),
        base=base,
        changed=changed_keys(below.model_dump(mode="json"), recipe.model_dump(mode="json")),
        manifest=manifest,
        inputs=input_states(recipe, manifest, workspace) if manifest else [],
        files=_files(artefact),
        scores=[_scores(file) for file in sorted((artefact.path / "scores").glob("*.parquet"))],
        evaluations=_evaluated(artefact, manifest, [*kept, *kept_next]),
        repeat=f"reclora finetune --from-run {artefact.name}",
    )


def chosen(workspace: Workspace, name: str, where: str = "RUN") -> Artefact:
    """The run called ``name`` of any dataset.

    Raises:
        UsageError: none is called so, or several begin so.
        MissingInputError: there is no run at all.
    """
    if not runs.every(workspace):
        raise MissingInputError(
            "no run here", where=str(workspace.root), hint="Run `reclora finetune` first."
        )
    return runs.named(workspace, name, where)


def base_of(recipe: Recipe, workspace: Workspace, dataset: str) -> tuple[str, Recipe]:
    """The recipe that a dataset's runs start from, and its name: with the run's own CRM, whose
    settings go by it."""
    own = kept_recipe(workspace, dataset)
    shipped = dataset if recipe.task == "rate" else f"{dataset.removesuffix('-next')}-next"
    known = [name for name in (shipped, dataset) if name in recipes.names()]
    name = str(own) if own else known[0] if known else "base"
    try:
        return name, recipes.load(name, values={"crm.model": recipe.crm.model})
    except (UsageError, MissingInputError):
        return "base", recipes.load("base")


def input_states(recipe: Recipe, manifest: Manifest, workspace: Workspace) -> list[InputState]:
    """Each artefact that the run was tuned from, held against what lies there now."""
    places = {"store": locate.store, "index": locate.index, "crm": locate.crm}
    found = []
    for name, identity in manifest.inputs.items():
        place = places.get(name)
        artefact = place(recipe, workspace) if place else None
        state = MISSING
        if artefact is not None and _readable(artefact):
            state = SAME if artefact.identity() == identity else CHANGED
        found.append(InputState(name, identity, state))
    return found


def _readable(artefact: Artefact) -> bool:
    try:
        return artefact.manifest() is not None
    except RecloraError:
        return False


def _files(artefact: Artefact) -> list[KeptFile]:
    return [
        KeptFile(path.relative_to(artefact.path).as_posix(), path.stat().st_size)
        for path in sorted(artefact.path.rglob("*"))
        if path.is_file()
    ]


def _scores(file: Path) -> KeptScores:
    import pyarrow as pa
    import pyarrow.parquet as pq

    split, _, rows_hash = file.name.removesuffix(".parquet").partition("-")
    if split == "next":  # next-<split>.parquet
        split, rows_hash = rows_hash, ""
    try:
        rows: int | None = pq.read_metadata(file).num_rows
    except (OSError, pa.ArrowException):
        rows = None
    return KeptScores(str(file), split, rows_hash, rows)


def _evaluated(
    artefact: Artefact,
    manifest: Manifest | None,
    kept: Sequence[KeptEvaluation | KeptNextEvaluation],
) -> list[EvaluatedRun]:
    identity = artefact.identity() if manifest else ""
    return [
        EvaluatedRun(
            file=one.file,
            split=one.split,
            rows=one.rows,
            subset=one.subset,
            rows_hash=one.rows_hash,
            figures=model.figures,
            beside=[other.name for other in one.models if other.name != model.name],
            current=model.identity == identity,
        )
        for one in kept
        for model in one.models
        if model.kind == "run" and model.name == artefact.name
    ]
