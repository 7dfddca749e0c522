"""``reclora pretrain-crm``: a conventional model on every training row (paper, section 3.2).

    model.safetensors  the weights that were best on validation
    crm_config.json    what they belong to
    metrics.json       every validation pass
    log.jsonl          loss of each step
    checkpoints/       while it runs
    tensorboard/       event files, where they were asked for

Early stopping reads validation rows only; test rows are not opened here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate
from reclora_cli.stages.crm_training import CrmPlan, CrmTraining, Trained
from reclora_cli.stages.crm_validation import WHOSE, AfterPass
from reclora_cli.training.tensorboard import require_tensorboard
from reclora_cli.workspace import Artefact, Manifest, Stopwatch, Workspace

__all__ = ["CrmPlan", "PretrainCrmResult", "make", "run"]


@dataclass(frozen=True)
class PretrainCrmResult:
    """What a CRM's training did, or (``dry_run``) would do.

    Attributes:
        behaviours: ``recent`` or ``retrieved``; ``history`` of them are read for each row.
        rows: training rows; ``valid_rows`` decide when to stop.
        steps: optimizer steps taken (planned, of a dry run); ``best_step`` gave the kept weights.
        stop_on: whose validation AUC decided: all, seen, unseen, or as-test.
        stopped_early: patience ran out before the last epoch's end.
        validation: at the best step, for all, seen and unseen users and as-test (the mean of the
            two weighted as test is composed): n, auc, log_loss.
        rows_per_second: training rows, validation not counted; of the process that finished it.
        plan: of a dry run only.
    """

    model: str
    dataset: str
    behaviours: str
    history: int
    parameters: int
    representation_width: int
    rows: int
    valid_rows: int
    steps: int
    best_step: int | None
    stop_on: str
    stopped_early: bool
    validation: dict[str, dict[str, Any]] | None
    seconds: float
    artefact: str
    up_to_date: bool
    dry_run: bool
    plan: CrmPlan | None
    rows_per_second: float | None = None


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    device: str = "auto",
    force: bool = False,
    dry_run: bool = False,
    tensorboard: bool = False,
) -> PretrainCrmResult:
    """Train the recipe's CRM; goes on from the last checkpoint, keeps the best on validation.

    Args:
        tensorboard: log for TensorBoard too, in the artefact's ``tensorboard/``.

    Raises:
        UsageError: no CRM is called so, or it reads more behaviours than are ranked.
        MissingInputError: the prepared dataset, the index that it retrieves by, or the package
            that the log needs, is missing.
        RecloraError: the loss stopped being finite; names the step and the last good checkpoint.
    """
    if tensorboard:
        require_tensorboard()
    training = CrmTraining(
        recipe, workspace, devices.pick(device), progress=progress, planned=dry_run
    )
    if dry_run:
        return result_of(training, plan=training.plan())
    artefact = training.artefact
    inputs = locate.inputs_of("pretrain-crm", recipe, workspace)
    fingerprint = locate.fingerprint_of("pretrain-crm", recipe)
    with workspace.writing(training.together):
        changed = training.together.from_main(lambda: artefact.changes(fingerprint, inputs))
        if changed == [] and not force:
            return told_again(artefact)
        if changed:
            progress.say(f"{recipe.crm.model} is trained anew: {', '.join(changed)} changed")
        anew = force or bool(changed)
        return make(training, inputs, progress, anew=anew, tensorboard=tensorboard)


def make(
    training: CrmTraining,
    inputs: dict[str, str],
    progress: Progress,
    *,
    anew: bool = False,
    tensorboard: bool = False,
    after_pass: AfterPass | None = None,
) -> PretrainCrmResult:
    """Train, and finish the artefact. The caller holds the workspace for writing.

    Args:
        inputs: identities of what is read, as ``locate.inputs_of`` gives them.
        anew, tensorboard, after_pass: as ``CrmTraining.train`` takes them.
    """
    recipe, artefact, watch = training.recipe, training.artefact, Stopwatch()
    fingerprint = locate.fingerprint_of("pretrain-crm", recipe)
    if training.together.main:
        artefact.unfinish()
    trained = training.train(
        recipes.fingerprint(fingerprint, inputs),
        progress,
        anew=anew,
        tensorboard=tensorboard,
        after_pass=after_pass,
    )
    result = result_of(training, trained, seconds=watch.seconds)
    manifest = Manifest(
        stage="pretrain-crm",
        fingerprint=fingerprint,
        recipe=locate.recipe_parts("pretrain-crm", recipe),
        inputs=inputs,
        seed=recipe.seed,
        figures=asdict(result),
        seconds=result.seconds,
    )
    if training.together.main:
        artefact.finish(manifest)
    return result


def told_again(artefact: Artefact) -> PretrainCrmResult:
    """The result of a finished artefact, as its manifest keeps it."""
    manifest = artefact.manifest()
    assert manifest is not None
    return PretrainCrmResult(
        **{**manifest.figures, "up_to_date": True, "artefact": str(artefact.path)}
    )


def result_of(
    training: CrmTraining,
    trained: Trained | None = None,
    plan: CrmPlan | None = None,
    seconds: float = 0.0,
) -> PretrainCrmResult:
    """What is told of a training that is done, or planned."""
    crm = training.recipe.crm
    best = trained.memory["best"] if trained else None
    steps = trained.memory["steps"] if trained else training.steps
    return PretrainCrmResult(
        model=crm.model,
        dataset=training.recipe.data.source,
        behaviours=training.behaviours,
        history=crm.history,
        parameters=training.parameters,
        representation_width=training.model.representation_width,
        rows=len(training.rows),
        valid_rows=len(training.valid),
        steps=steps,
        best_step=best["step"] if best else None,
        stop_on=crm.stop_on,
        stopped_early=steps < training.steps,
        validation={name: best[name] for name in WHOSE} if best else None,
        seconds=seconds,
        artefact=str(training.artefact.path),
        up_to_date=False,
        dry_run=plan is not None,
        plan=plan,
        rows_per_second=trained.rows_per_second if trained else None,
    )
