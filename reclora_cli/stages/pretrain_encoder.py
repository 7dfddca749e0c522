"""``reclora pretrain-crm``, for the task ``next``: a sequence encoder on all training sequences.

    model.safetensors    the weights that were best on validation
    encoder_config.json  what they belong to
    metrics.json         every validation pass
    log.jsonl            loss of each step
    checkpoints/         while it runs
    tensorboard/         event files, where they were asked for

Early stopping reads validation rows and their candidates only; test rows are not opened here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.crm.sequence.storage import load_encoder
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.errors import RecloraError
from reclora_cli.metrics.ranking import Ranking, ranking
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.sequence_scorer import SequenceScorer
from reclora_cli.seeding import numpy_stream
from reclora_cli.stages import locate
from reclora_cli.stages.encoder_training import EncoderTraining, TrainedEncoder
from reclora_cli.training.tensorboard import require_tensorboard
from reclora_cli.workspace import Artefact, Manifest, Stopwatch, Workspace


@dataclass(frozen=True)
class PretrainEncoderResult:
    """What a sequence encoder's training did, or (``dry_run``) would do.

    Attributes:
        history: items read of each row, at most; ``candidates``: items to choose from.
        representation_width: of z, which a gate reads.
        rows: training rows; ``valid_rows`` decide when to stop.
        steps: optimizer steps taken (planned, of a dry run); ``best_step`` gave the kept weights.
        stop_on: the figure that decided.
        stopped_early: patience ran out before the last epoch's end.
        validation: of the kept weights: n, chance, figures, intervals (see ``metrics.ranking``).
        rows_per_second: training rows, validation not counted; of the process that finished it.
    """

    model: str
    dataset: str
    history: int
    candidates: int
    parameters: int
    representation_width: int
    rows: int
    valid_rows: int
    steps: int
    best_step: int | None
    stop_on: str
    stopped_early: bool
    validation: dict[str, Any] | None
    seconds: float
    artefact: str
    up_to_date: bool
    dry_run: bool
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
) -> PretrainEncoderResult:
    """Train the recipe's encoder; goes on from the last checkpoint, keeps the best on validation.

    Args:
        tensorboard: log for TensorBoard too, in the artefact's ``tensorboard/``.

    Raises:
        UsageError: ``crm.model`` is no sequence encoder, or its settings do not fit.
        MissingInputError: the sequences, or the package that the log needs, are missing.
        RecloraError: the loss stopped being finite; names the step and the last good checkpoint.
    """
    if tensorboard:
        require_tensorboard()
    watch = Stopwatch()
    training = EncoderTraining(recipe, workspace, devices.pick(device))
    if dry_run:
        return _result(training)
    artefact, together = training.artefact, training.together
    inputs = locate.inputs_of("pretrain-crm", recipe, workspace)
    fingerprint = locate.fingerprint_of("pretrain-crm", recipe)
    with workspace.writing(together):
        changed = together.from_main(lambda: artefact.changes(fingerprint, inputs))
        if changed == [] and not force:
            return _told_again(artefact)
        if changed:
            progress.say(f"{recipe.crm.model} is trained anew: {', '.join(changed)} changed")
        if together.main:
            artefact.unfinish()
        belongs_to = recipes.fingerprint(fingerprint, inputs)
        anew = force or bool(changed)
        trained = training.train(belongs_to, progress, anew=anew, tensorboard=tensorboard)
        together.wait()  # What the main process wrote is read by all.
        validation = rank_candidates(recipe, workspace, "valid", device=device)
        result = _result(training, trained, validation, watch.seconds)
        if together.main:
            artefact.finish(_manifest(recipe, result, fingerprint, inputs))
    return result


def rank_candidates(
    recipe: Recipe, workspace: Workspace, split: str, *, device: str = "auto"
) -> Ranking:
    """How the recipe's trained encoder ranks the candidates of ``valid`` or ``test``.

    Raises:
        MissingInputError: it is not trained, or the sequences are not prepared.
        RecloraError: it was trained on other sequences than are prepared now.
    """
    store = SequenceStore(locate.store(recipe, workspace).path)
    model, config = load_encoder(locate.crm(recipe, workspace).path)
    if config.sequences != store.header.identity:
        raise RecloraError(
            "this encoder was trained on other sequences than are prepared now",
            where=str(locate.crm(recipe, workspace).path),
            hint="Run `reclora pretrain-crm` again.",
        )
    on = devices.pick(device)
    scores = SequenceScorer(model.to(on), on).score(store.split(split), store.candidates(split))
    return ranking(
        scores,
        store.truth(split),
        resamples=recipe.evaluate.resamples,
        confidence=recipe.evaluate.confidence,
        stream=numpy_stream(recipe.seed, "ranking bootstrap", split),
    )


def _told_again(artefact: Artefact) -> PretrainEncoderResult:
    manifest = artefact.manifest()
    assert manifest is not None
    again = {"up_to_date": True, "artefact": str(artefact.path)}
    return PretrainEncoderResult(**{**manifest.figures, **again})


def _result(
    training: EncoderTraining,
    trained: TrainedEncoder | None = None,
    validation: Ranking | None = None,
    seconds: float = 0.0,
) -> PretrainEncoderResult:
    crm, header = training.recipe.crm, training.store.header
    steps = trained.memory["steps"] if trained else training.steps
    return PretrainEncoderResult(
        model=crm.model,
        dataset=training.recipe.data.source,
        history=header.history,
        candidates=header.candidates,
        parameters=training.parameters,
        representation_width=training.model.representation_width,
        rows=len(training.rows),
        valid_rows=len(training.store.split("valid")),
        steps=steps,
        best_step=trained.memory["best"]["step"] if trained else None,
        stop_on=training.recipe.next.stop_on,
        stopped_early=steps < training.steps,
        validation=asdict(validation) if validation else None,
        seconds=seconds,
        artefact=str(training.artefact.path),
        up_to_date=False,
        dry_run=trained is None,
        rows_per_second=trained.rows_per_second if trained else None,
    )


def _manifest(
    recipe: Recipe, result: PretrainEncoderResult, fingerprint: str, inputs: dict[str, str]
) -> Manifest:
    return Manifest(
        stage="pretrain-crm",
        fingerprint=fingerprint,
        recipe=locate.recipe_parts("pretrain-crm", recipe),
        inputs=inputs,
        seed=recipe.seed,
        figures=asdict(result),
        seconds=result.seconds,
    )
