"""``reclora finetune``: few-shot tuning of an adapter inside the frozen LM (paper, section 3.4).

RecLoRA, ReLLa, TALLRec and plain LoRA differ in two choices of the recipe, adapter and behaviours;
the path is one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.crm.base import representation_width
from reclora_cli.data.audit import audit
from reclora_cli.data.shots import sample_shots
from reclora_cli.errors import UsageError
from reclora_cli.lm.describe import describe
from reclora_cli.lora import GateSettings, attach
from reclora_cli.lora.adapters import Adapter, MetaAdapter, PlainLora
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.questions import Questions
from reclora_cli.seeding import stream_seed
from reclora_cli.stages import locate, population
from reclora_cli.stages.assemble import Sources, load_speaker
from reclora_cli.stages.runs import RECIPE_FILE, SHOTS_FILE
from reclora_cli.stages.shot_examples import encode, make_examples, policies
from reclora_cli.training import Checkpoints, Log, fit
from reclora_cli.training.lm_work import lm_work, steps_of
from reclora_cli.training.plan import TuningPlan, predict
from reclora_cli.training.tensorboard import open_logs, require_tensorboard
from reclora_cli.workspace import Artefact, Manifest, Stopwatch, Workspace, atomic_file, write_text

_DAY = 24 * 3600
_SAMPLED_FOR_PLAN = 256


@dataclass(frozen=True)
class FinetuneResult:
    """What a fine-tuning did, or (``dry_run``) would do.

    Attributes:
        run: name of the run, as ``--run`` takes it.
        first_loss, last_loss: mean loss of the first and the last tenth of the steps.
        plan: tokens, parameters, memory and time as predicted; of a dry run only.
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
    if recipe.adapter.kind == "none":
        raise UsageError(
            "zero-shot tunes nothing",
            where="--method",
            hint="Score it: `reclora evaluate --zero-shot`.",
        )
    chosen = devices.pick(device)
    sources = Sources(recipe, workspace, chosen)
    rows = sample_shots(sources.store, recipe.finetune.shots, recipe.seed)
    if dry_run:
        return _planned(recipe, workspace, sources, rows, progress)
    artefact = locate.run(recipe, workspace)
    fingerprint = locate.fingerprint_of("finetune", recipe)
    inputs = locate.inputs_of("finetune", recipe, workspace)
    with workspace.writing():
        if not force and artefact.changes(fingerprint, inputs) == []:
            figures = artefact.manifest().figures  # type: ignore[union-attr]
            return FinetuneResult(**{**figures, "up_to_date": True})
        watch = Stopwatch()
        result = _tune(
            recipe,
            sources,
            rows,
            artefact,
            inputs,
            progress,
            force=force,
            device=chosen,
            tensorboard=tensorboard,
        )
        final = replace(result, seconds=watch.seconds)
        artefact.finish(
            Manifest(
                stage="finetune",
                fingerprint=fingerprint,
                recipe=locate.recipe_parts("finetune", recipe),
                inputs=inputs,
                seed=recipe.seed,
                figures=asdict(final),
                seconds=final.seconds,
            )
        )
        return final


def make_adapter(
    recipe: Recipe, model: torch.nn.Module, representation_width: int | None
) -> Adapter:
    """The recipe's adapter, untrained, inside ``model``.

    Args:
        representation_width: width of R_c; ``None`` when no gate reads it.
    """
    adapter, seed = recipe.adapter, stream_seed(recipe.seed, "adapter")
    if adapter.kind == "lora":
        return PlainLora.make(
            model,
            rank=adapter.rank,
            alpha=adapter.alpha,
            targets=adapter.targets,
            dropout=adapter.dropout,
            seed=seed,
        )
    gate = None
    if representation_width is not None:
        gate = GateSettings(input_width=representation_width, **recipe.gate.model_dump())
    return MetaAdapter(
        attach(
            model,
            experts=adapter.experts,
            rank=adapter.rank,
            alpha=adapter.alpha,
            targets=adapter.targets,
            mixing=adapter.mixing,
            dropout=adapter.dropout,
            gate=gate,
            seed=seed,
        )
    )


def _tune(
    recipe: Recipe,
    sources: Sources,
    rows: NDArray[np.int64],
    artefact: Artefact,
    inputs: dict[str, str],
    progress: Progress,
    *,
    force: bool,
    device: torch.device,
    tensorboard: bool,
) -> FinetuneResult:
    checkpoints = Checkpoints(
        artefact.path / "checkpoints",
        recipe.finetune.checkpoint_every,
        recipes.fingerprint(locate.fingerprint_of("finetune", recipe), inputs),
    )
    log = Log(artefact.path / "log.jsonl")
    audit(sources.store, shots=rows).require(str(artefact.path))
    artefact.unfinish()
    if force:
        checkpoints.clear()
    write_text(artefact.path / RECIPE_FILE, recipes.to_yaml(recipe))
    with atomic_file(artefact.path / SHOTS_FILE) as file:
        np.save(file, rows)
    speaker = load_speaker(recipe.lm, device, progress)
    cache = artefact.path / "representations.safetensors"
    examples = make_examples(recipe, sources, speaker, rows, cache, progress)
    width = None if examples.representation is None else examples.representation.shape[1]
    adapter = make_adapter(recipe, speaker.lm.model, width)
    adapter.train(True)
    work = lm_work(speaker.lm.model, adapter, examples, recipe.finetune, recipe.seed, device)
    progress.say(
        f"{locate.method_name(recipe)}: {len(examples):,} prompts, {work.steps:,} steps, "
        f"{adapter.parameter_count():,} trained parameters"
    )
    texts = {"recipe": recipes.to_yaml(recipe)} if tensorboard else None
    with open_logs(log, artefact.path, texts, work.rows_per_step) as logs:
        fit(work, checkpoints=checkpoints, log=logs, progress=progress)
    adapter.train(False)
    adapter.save(artefact.path / "adapter", speaker.lm.identity)
    if examples.representation is not None:
        population.write(
            artefact.path,
            population.measure(
                population.gate_weights(adapter, examples.representation[: len(rows)], device),
                sources.store.row_user(rows),
            ),
        )
    checkpoints.clear()
    first, last = _ends([line["loss"] for line in log.read()])
    return FinetuneResult(
        run=artefact.name,
        artefact=str(artefact.path),
        method=locate.method_name(recipe),
        dataset=recipe.data.source,
        shots=len(rows),
        examples=len(examples),
        steps=work.steps,
        trainable_parameters=adapter.parameter_count(),
        gate_parameters=sum(p.numel() for p in adapter.gate_parameters()),
        first_loss=first,
        last_loss=last,
        shortened_prompts=examples.prompts.shortened,
    )


def _ends(losses: list[float]) -> tuple[float, float]:
    """Mean of the first and of the last tenth of the steps' losses."""
    tenth = max(1, len(losses) // 10)
    return (
        round(float(np.mean(losses[:tenth])), 5),
        round(float(np.mean(losses[-tenth:])), 5),
    )


def _planned(
    recipe: Recipe,
    workspace: Workspace,
    sources: Sources,
    rows: NDArray[np.int64],
    progress: Progress,
) -> FinetuneResult:
    """Predict from the lengths of a few real prompts; recent behaviours where nothing is ranked."""
    ranked = locate.index(recipe, workspace).manifest() is not None
    speaker = load_speaker(recipe.lm, sources.device, progress)
    sample = Questions.of_rows(sources.store, rows[:_SAMPLED_FOR_PLAN])
    used = policies(recipe) if ranked else ("recent",)
    lengths = np.concatenate([encode(sources, speaker, sample, policy).lengths for policy in used])
    examples = len(rows) * len(policies(recipe))
    steps = steps_of(examples, recipe.finetune)
    width = _representation_width(recipe, sources) if locate.needs_crm(recipe) else None
    adapter = make_adapter(recipe, speaker.lm.model, width)
    plan = predict(
        describe(recipe.lm),
        rows=len(rows),
        examples=examples,
        epochs=recipe.finetune.epochs,
        steps=steps,
        tokens_per_example=float(lengths.mean()) + len(speaker.answers.yes_ids) - 1,
        trainable_parameters=adapter.parameter_count(),
        micro_batch_tokens=recipe.finetune.micro_batch_tokens,
        quantisation=recipe.lm.quantisation,
        device=sources.device,
    )
    if not ranked and "retrieved" in policies(recipe):
        progress.say("lengths are of recent behaviours: build-index has not run")
    if plan.seconds > _DAY:
        progress.warn(
            f"this plan takes about {plan.seconds / _DAY:.1f} days; "
            "fewer --shots, or a GPU, take less"
        )
    return FinetuneResult(
        run=locate.run(recipe, workspace).name,
        artefact=str(locate.run(recipe, workspace).path),
        method=locate.method_name(recipe),
        dataset=recipe.data.source,
        shots=len(rows),
        examples=examples,
        steps=steps,
        trainable_parameters=adapter.parameter_count(),
        gate_parameters=sum(p.numel() for p in adapter.gate_parameters()),
        dry_run=True,
        plan=plan,
    )


def _representation_width(recipe: Recipe, sources: Sources) -> int:
    """Width of R_c, told without a trained CRM."""
    return representation_width(recipe.crm, sources.crm_shape)
