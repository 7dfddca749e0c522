"""The graph of stages: what a stage needs, what is up to date, what must run first.

    prepare -> build-index -> pretrain-crm -> finetune -> evaluate, explain

Missing stages run first, announced with what and why; a fine-tuning never starts unasked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reclora_cli import catalog
from reclora_cli.data.download import Confirm
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.data.shots import check_budget
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import MissingInputError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate, runs
from reclora_cli.stages.import_adapter import check_start
from reclora_cli.workspace import Artefact, Workspace

_ARTEFACTS: dict[str, Callable[[Recipe, Workspace], Artefact]] = {
    "prepare": locate.store,
    "build-index": locate.index,
    "pretrain-crm": locate.crm,
    "finetune": locate.run,
}


@dataclass(frozen=True)
class Pending:
    """A stage that must run, and why."""

    stage: str
    why: str


def needs(stage: str, recipe: Recipe) -> list[str]:
    """Stages whose artefacts ``stage`` reads under this recipe, in the order they run."""
    if stage == "prepare":
        return []
    if stage in {"build-index", "show"}:
        return ["prepare"]
    retrieving = locate.crm_behaviours(recipe) == "retrieved"
    if stage == "pretrain-crm":
        return ["prepare", "build-index"] if retrieving else ["prepare"]
    found = ["prepare"]
    if locate.needs_index(recipe):
        found.append("build-index")
    if locate.needs_crm(recipe):
        found.append("pretrain-crm")
    return found


def lacking(stage: str, recipe: Recipe, workspace: Workspace) -> list[Pending]:
    """What must run before ``stage``, in order.

    ``evaluate`` and ``explain`` read finished runs, which say themselves what they were made from;
    a run is lacking only when the dataset has none. Zero-shot needs no run.
    """
    before = needs(stage, recipe)
    if stage in {"evaluate", "explain"}:
        before = needs("finetune", recipe)
        if recipe.adapter.kind != "none":
            if runs.finished(workspace, recipe.data.source, recipe.task):
                return []
            before = [*before, "finetune"]
    found = [pending(needed, recipe, workspace) for needed in before]
    return [lack for lack in found if lack]


def artefact(stage: str, recipe: Recipe, workspace: Workspace) -> Artefact:
    """What ``stage`` makes under this recipe."""
    return _ARTEFACTS[stage](recipe, workspace)


def pending(stage: str, recipe: Recipe, workspace: Workspace) -> Pending | None:
    """Why ``stage`` must run before its artefact can be used; ``None`` when it is up to date."""
    made = artefact(stage, recipe, workspace)
    manifest = made.manifest()
    if manifest is None:
        return Pending(stage, "it has not run")
    if manifest.fingerprint != locate.fingerprint_of(stage, recipe):
        return Pending(stage, "the recipe changed")
    if stage == "prepare":
        return None
    try:
        inputs = locate.inputs_of(stage, recipe, workspace)
    except MissingInputError:
        return Pending(stage, "what it was made from is gone")
    changed = made.changes(manifest.fingerprint, inputs)
    return Pending(stage, f"changed since: {', '.join(changed)}") if changed else None


def ensure(
    stage: str,
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    no_deps: bool = False,
    confirm: Confirm | None = None,
    device: str = "auto",
) -> list[str]:
    """Run what ``stage`` needs and lacks. Returns the stages that ran.

    Args:
        no_deps: make a missing stage an error instead.
        confirm: asks a person; fine-tuning starts, and a dataset is downloaded under its terms of
            use, only when it says yes. ``None``: no person.

    Raises:
        MissingInputError: a needed stage may not run; names the command.
        UsageError: the tuning would be refused: too many shots, or a setting of another task.
        RecloraError: what the recipe's tuning is to start from is missing, foreign or damaged.
    """
    ran: list[str] = []
    check_start(recipe)
    if stage in {"finetune", "tune-lm"}:
        _check_tuning(recipe, workspace)
    before = lacking(stage, recipe, workspace)
    lacked = [lack.stage for lack in before]
    if not no_deps and "finetune" in lacked:
        _ask_to_finetune(stage, recipe, confirm)
    for lack in before:
        needed = lack.stage
        command = locate.prepare_command(recipe) if needed == "prepare" else f"reclora {needed}"
        if no_deps:
            raise MissingInputError(
                f"{stage} needs {needed}, and {lack.why}", hint=f"Run `{command}` first."
            )
        progress.say(f"{needed} runs first: {stage} needs it, and {lack.why}")
        options = {"confirm": confirm} if needed == "prepare" else {"device": device}
        catalog.STAGES.load(needed)(recipe, workspace, progress, **options)
        ran.append(needed)
    return ran


def _ask_to_finetune(stage: str, recipe: Recipe, confirm: Confirm | None) -> None:
    # Asked before anything runs: the stages before it are for nothing when the answer is no.
    question = (
        f"{stage} needs a fine-tuned run of {recipe.data.source}, and there is none. Start one?"
    )
    if not (confirm and confirm(question)):
        raise MissingInputError(
            f"{stage} needs a fine-tuned run of {recipe.data.source}, and there is none",
            hint="Run `reclora finetune` first.",
        )


def _check_tuning(recipe: Recipe, workspace: Workspace) -> None:
    # Before minutes go into the stages that a tuning needs, only to be refused afterwards.
    if recipe.task == "next":
        from reclora_cli.stages.next_material import check_settings  # Brings torch.

        check_settings(recipe)
    if pending("prepare", recipe, workspace):
        return
    place = locate.store(recipe, workspace)
    store = SequenceStore(place.path) if recipe.task == "next" else InteractionsStore(place.path)
    check_budget(recipe.data.source, len(store.split("train")), recipe.finetune.shots)


def run(
    stage: str,
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    no_deps: bool = False,
    confirm: Confirm | None = None,
    **options: Any,
) -> Any:
    """Run ``stage`` after what it needs; returns its result object."""
    device = str(options.get("device", "auto"))
    if not options.get("dry_run"):
        ensure(stage, recipe, workspace, progress, no_deps=no_deps, confirm=confirm, device=device)
    if stage == "prepare":
        options["confirm"] = confirm
    return catalog.STAGES.load(stage)(recipe, workspace, progress, **options)
