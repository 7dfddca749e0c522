"""``reclora finetune``: few-shot tuning of an adapter inside the frozen LM (paper, section 3.4).

RecLoRA, ReLLa, TALLRec and plain LoRA differ in two choices of the recipe, adapter and behaviours;
the path is one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from reclora_cli import device as devices
from reclora_cli import processes
from reclora_cli.errors import UsageError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate, runs
from reclora_cli.stages.import_adapter import fitting_start
from reclora_cli.stages.lm_training import LmTraining
from reclora_cli.stages.lm_tuned import Tuned
from reclora_cli.stages.material import maker
from reclora_cli.stages.plan_tuning import (
    plan_tuning,
    planner_of,
    silent_speaker,
)
from reclora_cli.stages.run_compare import Reproduction
from reclora_cli.training.plan import TuningPlan
from reclora_cli.training.tensorboard import require_tensorboard
from reclora_cli.workspace import Artefact, Manifest, Stopwatch, Workspace

_DAY = 24 * 3600
_SAMPLED_FOR_PLAN = 256


@dataclass(frozen=True)
class FinetuneResult:
    """What a fine-tuning did, or (``dry_run``) would do.

    Attributes:
        run: name of the run, as ``--run`` takes it.
        first_loss, last_loss: mean loss of the first and the last tenth of the steps.
        plan: tokens, parameters, memory and time as predicted; of a dry run only.
        read: hashes of the LM, shots, prompts, labels and R_c that it was tuned from.
        computed: device, processes, threads and micro-batch, on which its last bits depend.
        reproduction: how it compares with the run that it repeats (``--from-run``).
    """

    run: str
    artefact: str
    method: str
    dataset: str
    shots: int
    examples: int
    steps: int
    trainable_parameters: int
    gate_parameters: int
    first_loss: float | None = None
    last_loss: float | None = None
    seconds: float = 0.0
    shortened_prompts: int = 0
    up_to_date: bool = False
    dry_run: bool = False
    plan: TuningPlan | None = None
    read: dict[str, str] = field(default_factory=dict)
    computed: dict[str, Any] = field(default_factory=dict)
    reproduction: Reproduction | None = None


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    device: str = "auto",
    force: bool = False,
    dry_run: bool = False,
    tensorboard: bool = False,
) -> FinetuneResult:
    """Tune the recipe's adapter on its shots; resumes from the last checkpoint.

    Args:
        tensorboard: log for TensorBoard too, in the run's ``tensorboard/``.

    Raises:
        UsageError: the recipe tunes nothing, or asks for more shots than there are rows.
        MissingInputError: store, index or CRM is missing, or the package that the log needs.
    """
    if tensorboard:
        require_tensorboard()
    require_tunable(recipe)
    if dry_run:
        processes.require_alone("a dry run")
    training = LmTraining(recipe, workspace, devices.pick(device))
    if dry_run:
        return _planned(training, progress)
    artefact = training.artefact
    fingerprint = locate.fingerprint_of("finetune", recipe)
    inputs = locate.inputs_of("finetune", recipe, workspace)
    with workspace.writing(training.together):
        changed = training.together.from_main(lambda: artefact.changes(fingerprint, inputs))
        if changed == [] and not force:
            return told_again(artefact)
        if changed is None and not force:
            _tell_of_another(recipe, workspace, artefact, progress)
        return make(training, inputs, progress, anew=force, tensorboard=tensorboard)


def require_tunable(recipe: Recipe) -> None:
    """Refuse a recipe that trains nothing.

    Raises:
        UsageError: its adapter is ``none``.
    """
    if recipe.adapter.kind == "none":
        raise UsageError(
            "zero-shot tunes nothing",
            where="--method",
            hint="Score it: `reclora evaluate --zero-shot`.",
        )


def _tell_of_another(
    recipe: Recipe, workspace: Workspace, artefact: Artefact, progress: Progress
) -> None:
    """Say which interrupted run this one does *not* go on with, and what differs."""
    if (artefact.path / "checkpoints").is_dir():
        return
    other = runs.interrupted(workspace, recipe.data.source, recipe.task)
    if other is None:
        return
    differing = runs.differing(other.recipe, recipe)
    progress.say(
        f"a new run: {other.name}, which was interrupted, has other settings\n"
        + "".join(f"  {line}\n" for line in differing)
        + f"  to go on with that one: `reclora finetune --from-run {other.name}`"
    )


def make(
    training: LmTraining,
    inputs: dict[str, str],
    progress: Progress = SILENT,
    **how: Any,
) -> FinetuneResult:
    """Tune, and finish the run's folder. The caller holds the workspace for writing.

    Args:
        inputs: identities of what is read, as ``locate.inputs_of`` gives them.
        how: as ``LmTraining.train`` takes it.
    """
    recipe, artefact, watch = training.recipe, training.artefact, Stopwatch()
    if training.together.main:
        if artefact.manifest() is not None:
            training.forget(inputs)  # Of a tuning that was killed when all but this was done.
        artefact.unfinish()
    tuned = training.train(inputs, progress, **how)
    result = _result_of(training, tuned, watch.seconds)
    if training.together.main:
        artefact.finish(
            Manifest(
                stage="finetune",
                fingerprint=locate.fingerprint_of("finetune", recipe),
                recipe=locate.recipe_parts("finetune", recipe),
                inputs=inputs,
                seed=recipe.seed,
                figures=asdict(result),
                seconds=result.seconds,
            )
        )
        training.forget(inputs)
    return result


def told_again(artefact: Artefact) -> FinetuneResult:
    """The result of a finished run, as its manifest keeps it."""
    manifest = artefact.manifest()
    assert manifest is not None
    known = {field.name for field in fields(FinetuneResult)}
    figures = {name: value for name, value in manifest.figures.items() if name in known}
    place = {"run": artefact.name, "artefact": str(artefact.path)}
    return FinetuneResult(**{**figures, **place, "up_to_date": True})


def _result_of(training: LmTraining, tuned: Tuned, seconds: float) -> FinetuneResult:
    first, last = _ends(tuned.losses)
    return FinetuneResult(
        run=training.artefact.name,
        artefact=str(training.artefact.path),
        method=locate.method_name(training.recipe),
        dataset=training.recipe.data.source,
        shots=len(training.rows),
        examples=tuned.examples,
        steps=tuned.steps,
        trainable_parameters=tuned.trainable_parameters,
        gate_parameters=tuned.gate_parameters,
        first_loss=first,
        last_loss=last,
        seconds=seconds,
        shortened_prompts=tuned.shortened,
        read=tuned.read,
        computed=tuned.computed,
    )


def _ends(losses: list[float]) -> tuple[float, float]:
    """Mean of the first and of the last tenth of the steps' losses."""
    tenth = max(1, len(losses) // 10)
    return (
        round(float(np.mean(losses[:tenth])), 5),
        round(float(np.mean(losses[-tenth:])), 5),
    )


def _planned(training: LmTraining, progress: Progress) -> FinetuneResult:
    """Predict from the lengths of a few real prompts."""
    recipe, material, rows = training.recipe, training.material, training.rows
    make = maker(material, material.width())
    planner, lies = planner_of(recipe, make, training.device, progress)
    fitting_start(recipe, planner.adapter, lies.identity, progress)
    speaker = silent_speaker(recipe, planner, lies)
    examples = material.sampled(speaker, _SAMPLED_FOR_PLAN, progress)
    planner.answer_tokens = max(map(len, examples.answers))
    prompts = material.prompts
    plan = plan_tuning(
        recipe, make, planner, examples, len(rows), prompts, training.device, progress
    )
    if plan.seconds > _DAY:
        progress.warn(
            f"this plan takes about {plan.seconds / _DAY:.1f} days; "
            "fewer --shots, or a GPU, take less"
        )
    place = training.artefact
    return FinetuneResult(
        run=place.name,
        artefact=str(place.path),
        method=locate.method_name(recipe),
        dataset=recipe.data.source,
        shots=len(rows),
        examples=prompts,
        steps=plan.steps,
        trainable_parameters=plan.trainable_parameters,
        gate_parameters=sum(p.numel() for p in planner.adapter.gate_parameters()),
        dry_run=True,
        plan=plan,
    )
