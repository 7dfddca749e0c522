"""``reclora pretrain-crm``: a conventional model on every training row (paper, section 3.2).

    model.safetensors  the weights that were best on validation
    crm_config.json    what they belong to
    metrics.json       every validation pass
    log.jsonl          loss of each step
    checkpoints/       while it runs

Early stopping reads validation rows only; test rows are not opened here.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.crm.base import Crm, build
from reclora_cli.crm.features import FeatureShape, space_identity
from reclora_cli.crm.storage import CrmConfig
from reclora_cli.data.features import FeatureSpace
from reclora_cli.errors import UsageError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.retrieval.past import RankedPast
from reclora_cli.scoring.crm_scorer import CrmScorer
from reclora_cli.seeding import stream_seed
from reclora_cli.stages import locate
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.crm_validation import WHOSE, Validation
from reclora_cli.training import Checkpoints, Log, Work, fit
from reclora_cli.training.activations import saved_bytes
from reclora_cli.training.crm_work import Labelled, crm_work, steps_per_epoch
from reclora_cli.training.loop import make_optimizer
from reclora_cli.workspace import Artefact, Manifest, Stopwatch, Workspace, write_json

_CHECKPOINT_EVERY = 100
_TIMED_STEPS = 3


@dataclass(frozen=True)
class CrmPlan:
    """What a training would take, as predicted.

    Attributes:
        seconds: of all epochs without validation; from a few real steps on this machine.
        memory_bytes: weights, gradients, optimizer state, and one step's activations with theirs.
    """

    seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class PretrainCrmResult:
    """What a CRM's training did, or (``dry_run``) would do.

    Attributes:
        behaviours: ``recent`` or ``retrieved``; ``history`` of them are read for each row.
        rows: training rows; ``valid_rows`` decide when to stop.
        steps: optimizer steps taken (planned, of a dry run); ``best_step`` gave the kept weights.
        stop_on: validation rows that early stopping read: all, seen or unseen users'.
        stopped_early: patience ran out before the last epoch's end.
        validation: at the best step, for all, seen and unseen users: n, auc, log_loss.
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


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    device: str = "auto",
    force: bool = False,
    dry_run: bool = False,
) -> PretrainCrmResult:
    """Train the recipe's CRM; goes on from the last checkpoint, keeps the best on validation.

    Raises:
        UsageError: no CRM is called so, or it reads more behaviours than are ranked.
        MissingInputError: the prepared dataset, or the index that it retrieves by, is missing.
        RecloraError: the loss stopped being finite; names the step and the last good checkpoint.
    """
    training = _Training(recipe, workspace, devices.pick(device))
    if dry_run:
        return training.result(plan=training.plan())
    artefact = training.artefact
    fingerprint = locate.fingerprint_of("pretrain-crm", recipe)
    inputs = locate.inputs_of("pretrain-crm", recipe, workspace)
    with workspace.writing():
        changed = artefact.changes(fingerprint, inputs)
        if changed == [] and not force:
            return _told_again(artefact)
        if changed:
            progress.say(f"{recipe.crm.model} is trained anew: {', '.join(changed)} changed")
        watch = Stopwatch()
        artefact.unfinish()
        belongs_to = recipes.fingerprint(fingerprint, inputs)
        memory = training.train(belongs_to, progress, anew=force or bool(changed))
        result = training.result(memory=memory, seconds=watch.seconds)
        artefact.finish(
            Manifest(
                stage="pretrain-crm",
                fingerprint=fingerprint,
                recipe=locate.recipe_parts("pretrain-crm", recipe),
                inputs=inputs,
                seed=recipe.seed,
                figures=asdict(result),
                seconds=result.seconds,
            )
        )
        return result


def _told_again(artefact: Artefact) -> PretrainCrmResult:
    manifest = artefact.manifest()
    assert manifest is not None
    return PretrainCrmResult(
        **{**manifest.figures, "up_to_date": True, "artefact": str(artefact.path)}
    )


def _check_history(recipe: Recipe, behaviours: str) -> None:
    history, ranked = recipe.crm.history, recipe.retriever.long
    if behaviours == "retrieved" and history > ranked:
        raise UsageError(
            f"{recipe.crm.model} is to read {history} behaviours, and {ranked} are ranked",
            where="crm.history",
            hint=f"Rank more of them: --set retriever.long={history}",
        )


class _Training:
    """One training: the model, what it reads, and what is measured on the way."""

    def __init__(self, recipe: Recipe, workspace: Workspace, device: torch.device) -> None:
        self.recipe = recipe
        self.sources = Sources(recipe, workspace, device)
        self.store = self.sources.store
        self.space = FeatureSpace(self.store)
        self.artefact = locate.crm(recipe, workspace)
        self.behaviours = locate.crm_behaviours(recipe)
        _check_history(recipe, self.behaviours)
        shape = FeatureShape.of(self.space)
        self.config = CrmConfig(
            self.behaviours,
            recipe.crm.deciding(),
            shape,
            space_identity(self.space, self.store),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(recipe.seed, "crm weights"))
            self.model: Crm = build(shape, recipe.crm).to(device)
        self.rows = self.store.split("train")
        self.valid = self.store.split("valid")

    def train(self, belongs_to: str, progress: Progress, *, anew: bool) -> dict[str, Any]:
        """Train, keep the best weights in the artefact, and return what was measured."""
        folder = self.artefact.path
        checkpoints = Checkpoints(folder / "checkpoints", _CHECKPOINT_EVERY, belongs_to)
        log = Log(folder / "log.jsonl")
        if anew:
            checkpoints.clear()
        ranked = self.sources.ranked if self.behaviours == "retrieved" else None
        if ranked is not None and self.recipe.retriever.rows == "needed":
            progress.warn(
                f"{self.recipe.crm.model} reads every training row's retrieved behaviours, and "
                "ranks them anew in each epoch; retriever.rows=all ranks them once"
            )
        scorer = self._scorer(ranked)
        work = self._work(scorer)
        self.config.write(folder)
        progress.say(
            f"{self.recipe.crm.model}: {len(self.rows):,} rows, {work.steps:,} steps, "
            f"{self._parameters():,} parameters; stops on validation rows of "
            f"{WHOSE[self.recipe.crm.stop_on]}"
        )
        validation = Validation(scorer, self.store, self.recipe.crm, folder, log, progress)
        memory = fit(
            work, checkpoints=checkpoints, log=log, after_step=validation, progress=progress
        )
        write_json(folder / "metrics.json", memory["validations"])
        checkpoints.clear()
        return memory

    def plan(self) -> CrmPlan:
        """Time a few real steps of an untrained copy; behaviours may be recent ones then."""
        ranked = None
        if (
            self.behaviours == "retrieved"
            and locate.index(self.recipe, self.sources.workspace).manifest()
        ):
            ranked = self.sources.ranked
        work = self._work(self._scorer(ranked, stand_in=ranked is None))
        optimizer = make_optimizer(work.groups)
        seconds = [_timed_step(work, optimizer, step) for step in range(_TIMED_STEPS + 1)]
        [(batch, _)] = work.micro_batches(0)
        activations = saved_bytes(lambda: work.loss(batch), self.model.parameters())
        return CrmPlan(
            seconds=round(float(np.median(seconds[1:])) * work.steps, 3),
            memory_bytes=16 * self._parameters() + 2 * activations,
        )

    def result(
        self,
        memory: dict[str, Any] | None = None,
        plan: CrmPlan | None = None,
        seconds: float = 0.0,
    ) -> PretrainCrmResult:
        crm = self.recipe.crm
        steps = crm.epochs * steps_per_epoch(len(self.rows), crm)
        best = memory["best"] if memory else None
        taken = memory["steps"] if memory else steps
        return PretrainCrmResult(
            model=crm.model,
            dataset=self.recipe.data.source,
            behaviours=self.behaviours,
            history=crm.history,
            parameters=self._parameters(),
            representation_width=self.model.representation_width,
            rows=len(self.rows),
            valid_rows=len(self.valid),
            steps=taken,
            best_step=best["step"] if best else None,
            stop_on=crm.stop_on,
            stopped_early=taken < steps,
            validation={name: best[name] for name in WHOSE} if best else None,
            seconds=seconds,
            artefact=str(self.artefact.path),
            up_to_date=False,
            dry_run=plan is not None,
            plan=plan,
        )

    def _scorer(self, ranked: RankedPast | None, *, stand_in: bool = False) -> CrmScorer:
        config = self.config
        if stand_in:
            config = CrmConfig("recent", config.recipe, config.shape, config.space)
        return CrmScorer(
            self.model, config, self.store, ranked, space=self.space, device=self.sources.device
        )

    def _work(self, scorer: CrmScorer) -> Work[Labelled]:
        return crm_work(
            self.model.train(),
            self.store,
            self.space,
            scorer.behaviours,
            self.recipe.crm,
            self.recipe.seed,
            self.sources.device,
        )

    def _parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


def _timed_step(work: Work[Labelled], optimizer: torch.optim.Optimizer, step: int) -> float:
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    for batch, weight in work.micro_batches(step):
        (work.loss(batch) * weight).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return time.perf_counter() - start
