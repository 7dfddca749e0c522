"""One training of a CRM: the model, what it reads, and what is measured on the way."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from reclora_cli import processes
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
from reclora_cli.stages.crm_validation import WHOSE, AfterPass, Validation
from reclora_cli.training import Checkpoints, Log, StepLog, Work, fit
from reclora_cli.training.activations import saved_bytes
from reclora_cli.training.crm_work import Labelled, crm_work, steps_per_epoch, training_rows
from reclora_cli.training.pace import Pace
from reclora_cli.training.step import make_optimizer, take_step
from reclora_cli.training.tensorboard import open_logs
from reclora_cli.workspace import Artefact, Workspace, write_json

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
class Trained:
    """What a training leaves besides its files.

    Attributes:
        memory: what the loop kept: ``validations``, ``best``, ``steps``.
        rows_per_second: training rows of this run of it, validation not counted.
    """

    memory: dict[str, Any]
    rows_per_second: float | None


class CrmTraining:
    """The recipe's CRM, untrained, and its way to the best weights.

    Args:
        artefact: where it is trained; ``None`` for where the recipe's CRM lies.
        progress: of texts that are encoded before.
        planned: nothing is trained, and so no text is encoded.

    Attributes:
        together: the processes that train it; the main one writes.

    Raises:
        UsageError: no CRM is called so, or it reads more behaviours than are ranked.
        MissingInputError: the prepared dataset is missing.
    """

    def __init__(
        self,
        recipe: Recipe,
        workspace: Workspace,
        device: torch.device,
        artefact: Artefact | None = None,
        progress: Progress = SILENT,
        *,
        planned: bool = False,
    ) -> None:
        self.recipe = recipe
        self.together = processes.meet(device)
        self.sources = Sources(recipe, workspace, device, progress)
        self.store = self.sources.store
        self.space = FeatureSpace(self.store)
        self.artefact = artefact or locate.crm(recipe, workspace)
        self.behaviours = locate.crm_behaviours(recipe)
        _check_history(recipe, self.behaviours)
        self.texts = self.sources.stand_in_texts if planned else self.sources.crm_texts
        shape = FeatureShape.of(self.space, self.texts.width)
        self.config = CrmConfig(
            self.behaviours,
            recipe.crm.deciding(),
            shape,
            space_identity(self.space, self.store),
            self.texts.identity,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(recipe.seed, "crm weights"))
            self.model: Crm = build(shape, recipe.crm, self.texts.encoder).to(device)
        self.rows = training_rows(self.store, recipe.crm, recipe.seed)
        self.valid = self.store.split("valid")

    @property
    def steps(self) -> int:
        """Optimizer steps of all epochs."""
        return self.recipe.crm.epochs * steps_per_epoch(len(self.rows), self.recipe.crm)

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def train(
        self,
        belongs_to: str,
        progress: Progress,
        *,
        anew: bool,
        tensorboard: bool = False,
        after_pass: AfterPass | None = None,
    ) -> Trained:
        """Train, and keep the best weights in the artefact's folder.

        Args:
            belongs_to: fingerprint of what decides the weights; other checkpoints are refused.
            anew: start over, whatever checkpoints there are.
            tensorboard: log for TensorBoard too.
            after_pass: is told of every validation pass; what it raises ends the training.
        """
        folder = self.artefact.path
        checkpoints = Checkpoints(folder / "checkpoints", _CHECKPOINT_EVERY, belongs_to)
        if anew and self.together.main:
            checkpoints.clear()
        scorer = self._scorer(self._ranked(progress))
        work = self._work(scorer)
        if self.together.main:
            self.config.write(folder)
        progress.say(
            f"{self.recipe.crm.model}: {len(self.rows):,} rows, {work.steps:,} steps, "
            f"{self.parameters:,} parameters; stops on validation rows of "
            f"{WHOSE[self.recipe.crm.stop_on]}"
        )
        boarded = tensorboard and self.together.main
        texts = {"recipe": recipes.to_yaml(self.recipe)} if boarded else None
        with open_logs(Log(folder / "log.jsonl"), folder, texts, work.rows_per_step) as log:
            pace = Pace(self._validation(scorer, log, progress, after_pass))
            memory = fit(work, checkpoints=checkpoints, log=log, after_step=pace, progress=progress)
        if after_pass is not None:  # Killed behind its last pass, it goes on without another.
            after_pass(memory["validations"])
        if self.together.main:
            write_json(folder / "metrics.json", memory["validations"])
            checkpoints.clear()
        rate = pace.steps_per_second
        return Trained(memory, None if rate is None else round(rate * work.rows_per_step, 1))

    def plan(self) -> CrmPlan:
        """Time a few real steps of an untrained copy; behaviours may be recent ones then."""
        ranked = None
        if (
            self.behaviours == "retrieved"
            and locate.index(self.recipe, self.sources.workspace).manifest()
        ):
            ranked = self.sources.ranked
        work = self._work(self._scorer(ranked, stand_in=ranked is None))
        optimizer = make_optimizer(work.groups, fused=work.fused)
        seconds = [_timed_step(work, optimizer, step) for step in range(_TIMED_STEPS + 1)]
        batch, _ = next(iter(work.micro_batches(0)))
        activations = saved_bytes(lambda: work.loss(batch), self.model.parameters())
        return CrmPlan(
            seconds=round(float(np.median(seconds[1:])) * work.steps, 3),
            memory_bytes=16 * self.parameters + 2 * activations,
        )

    def _ranked(self, progress: Progress) -> RankedPast | None:
        if self.behaviours != "retrieved":
            return None
        if self.recipe.retriever.rows == "needed":
            progress.warn(
                f"{self.recipe.crm.model} reads every training row's retrieved behaviours, and "
                "ranks them anew in each epoch; retriever.rows=all ranks them once"
            )
        return self.sources.ranked

    def _scorer(self, ranked: RankedPast | None, *, stand_in: bool = False) -> CrmScorer:
        config = self.config
        if stand_in:
            config = replace(config, behaviours="recent")
        return CrmScorer(
            self.model,
            config,
            self.store,
            ranked,
            space=self.space,
            device=self.sources.device,
            texts=self.texts,
        )

    def _validation(
        self, scorer: CrmScorer, log: StepLog, progress: Progress, after_pass: AfterPass | None
    ) -> Validation:
        return Validation(
            scorer,
            self.store,
            self.recipe.crm,
            self.artefact.path,
            log,
            progress,
            after_pass,
            self.together,
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
            self.together,
            texts=self.texts.source,
        )


def _check_history(recipe: Recipe, behaviours: str) -> None:
    history, ranked = recipe.crm.history, recipe.retriever.long
    if behaviours == "retrieved" and history > ranked:
        raise UsageError(
            f"{recipe.crm.model} is to read {history} behaviours, and {ranked} are ranked",
            where="crm.history",
            hint=f"Rank more of them: --set retriever.long={history}",
        )


def _timed_step(work: Work[Labelled], optimizer: torch.optim.Optimizer, step: int) -> float:
    """Seconds of one step, told by its middle micro-batch: they are ordered by length."""
    start = time.perf_counter()
    parts = list(work.micro_batches(step))
    read = time.perf_counter() - start
    batch, weight = parts[len(parts) // 2]
    take_step(work, optimizer, step, [(batch, weight)])
    return read + (time.perf_counter() - start - read) / weight
