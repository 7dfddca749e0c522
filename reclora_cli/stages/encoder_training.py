"""One training of a sequence encoder: the model, what it reads, and what is measured on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reclora_cli import catalog, processes
from reclora_cli.crm.sequence.base import SequenceEncoder, build_encoder
from reclora_cli.crm.sequence.storage import EncoderConfig
from reclora_cli.crm.storage import save_weights
from reclora_cli.data.sequences.rows import SequenceRows
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.errors import UsageError
from reclora_cli.metrics.ranking import figures, truth_ranks
from reclora_cli.processes import Processes
from reclora_cli.progress import Progress
from reclora_cli.recipe import Recipe, to_yaml
from reclora_cli.scoring.sequence_scorer import SequenceScorer
from reclora_cli.seeding import stream_seed
from reclora_cli.stages import locate
from reclora_cli.training import Checkpoints, Log, StepLog, fit
from reclora_cli.training.crm_work import steps_per_epoch
from reclora_cli.training.next_work import next_work
from reclora_cli.training.pace import Pace
from reclora_cli.training.tensorboard import open_logs
from reclora_cli.workspace import Workspace, write_json

_CHECKPOINT_EVERY = 500


@dataclass(frozen=True)
class TrainedEncoder:
    """What a training leaves besides its files.

    Attributes:
        memory: what the loop kept: ``validations``, ``best``, ``steps``.
        rows_per_second: training rows, validation not counted.
    """

    memory: dict[str, Any]
    rows_per_second: float | None


class EncoderTraining:
    """The recipe's sequence encoder, untrained, and its way to the best weights.

    Raises:
        UsageError: ``crm.model`` is no sequence encoder, or ``crm.shots`` is given.
        MissingInputError: the sequences are not prepared.
    """

    def __init__(self, recipe: Recipe, workspace: Workspace, device: torch.device) -> None:
        check_encoder(recipe)
        self.recipe, self.device = recipe, device
        self.together = processes.meet(device)
        artefact = locate.require(
            locate.store(recipe, workspace), "prepared sequences", locate.prepare_command(recipe)
        )
        self.store = SequenceStore(artefact.path)
        self.artefact = locate.crm(recipe, workspace)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(recipe.seed, "encoder weights"))
            self.model: SequenceEncoder = build_encoder(
                self.store.header.items, self.store.header.history, recipe.crm
            ).to(device)

    @property
    def rows(self) -> SequenceRows:
        """Training rows."""
        return self.store.split("train")

    @property
    def steps(self) -> int:
        """Optimizer steps of all epochs."""
        return self.recipe.crm.epochs * steps_per_epoch(len(self.rows), self.recipe.crm)

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def train(
        self, belongs_to: str, progress: Progress, *, anew: bool, tensorboard: bool = False
    ) -> TrainedEncoder:
        """Train, and keep the best weights in the artefact's folder.

        Args:
            belongs_to: fingerprint of what decides the weights; other checkpoints are refused.
            anew: start over, whatever checkpoints there are.
            tensorboard: log for TensorBoard too.
        """
        folder, recipe = self.artefact.path, self.recipe
        checkpoints = Checkpoints(folder / "checkpoints", _CHECKPOINT_EVERY, belongs_to)
        if anew and self.together.main:
            checkpoints.clear()
        work = next_work(
            self.model.train(), self.rows, recipe.crm, recipe.seed, self.device, self.together
        )
        if self.together.main:
            header = self.store.header
            EncoderConfig(
                recipe.crm.deciding(), header.items, header.history, header.identity
            ).write(folder)
        progress.say(
            f"{recipe.crm.model}: {len(self.rows):,} rows, {work.steps:,} steps, "
            f"{self.parameters:,} parameters; stops on validation {recipe.next.stop_on}"
        )
        boarded = tensorboard and self.together.main
        texts = {"recipe": to_yaml(recipe)} if boarded else None
        with open_logs(Log(folder / "log.jsonl"), folder, texts, work.rows_per_step) as log:
            pace = Pace(self._validation(folder, log, progress))
            memory = fit(work, checkpoints=checkpoints, log=log, after_step=pace, progress=progress)
        if self.together.main:
            write_json(folder / "metrics.json", memory["validations"])
            checkpoints.clear()
        rate = pace.steps_per_second
        return TrainedEncoder(memory, rate and round(rate * work.rows_per_step, 1))

    def _validation(self, folder: Path, log: StepLog, progress: Progress) -> NextValidation:
        scorer = SequenceScorer(self.model, self.device)
        return NextValidation(scorer, self.store, self.recipe, folder, log, progress, self.together)


class NextValidation:
    """Validation passes at fixed steps; keeps the best weights, and says when to stop.

    Args:
        scorer: of the model that is being trained.
        folder: where the best weights are written.
        log: gets one line for each pass.
        together: processes that train the model; each measures all rows, the main one writes.
    """

    def __init__(
        self,
        scorer: SequenceScorer,
        store: SequenceStore,
        recipe: Recipe,
        folder: Path,
        log: StepLog,
        progress: Progress,
        together: Processes,
    ) -> None:
        self._scorer, self._store, self._folder = scorer, store, folder
        self._log, self._progress, self._together = log, progress, together
        self._patience, self._stop_on = recipe.crm.patience, recipe.next.stop_on
        per_epoch = steps_per_epoch(len(store.split("train")), recipe.crm)
        often = recipe.crm.evaluations_per_epoch
        self._at = {round((i + 1) * per_epoch / often) for i in range(recipe.crm.epochs * often)}

    def __call__(self, step: int, memory: dict[str, Any]) -> bool:
        """Called after each step; true when patience ran out.

        ``memory`` keeps ``validations`` (every pass) and ``best`` (the one that was kept).
        """
        if step not in self._at:
            return False
        found = {"step": step, **self._together.from_main(self.measure)}
        memory.setdefault("validations", []).append(found)
        best = memory.get("best")
        if best is None or found[self._stop_on] > best[self._stop_on]:
            memory["best"] = best = found
        if self._together.main:
            self._keep(found, best=best is found)
        behind = [each["step"] for each in memory["validations"]].index(best["step"])
        return len(memory["validations"]) - 1 - behind >= self._patience

    def measure(self) -> dict[str, Any]:
        """n and the figures of validation rows, as the model is now."""
        rows, candidates = self._store.split("valid"), self._store.candidates("valid")
        ranks = truth_ranks(self._scorer.score(rows, candidates), self._store.truth("valid"))
        return {"n": len(rows), **figures(ranks)}

    def _keep(self, found: dict[str, Any], *, best: bool) -> None:
        self._log.write(**found)
        if best:
            save_weights(self._scorer.model, self._folder)
        told = ", ".join(f"{name} {found[name]:.4f}" for name in ("hit_ratio@1", "ndcg@5", "mrr"))
        self._progress.say(f"step {found['step']:,}, {found['n']:,} validation rows: {told}")


def check_encoder(recipe: Recipe) -> None:
    """Refuse what the task ``next`` cannot train.

    Raises:
        UsageError: ``crm.model`` is no sequence encoder, or ``crm.shots`` is given.
    """
    if recipe.crm.model not in catalog.SEQUENCE_ENCODERS:
        raise UsageError(
            f"{recipe.crm.model} is no sequence encoder",
            where="crm.model",
            hint=f"Choose one: --model {', '.join(catalog.SEQUENCE_ENCODERS)}.",
        )
    if recipe.crm.shots:
        raise UsageError(
            "a sequence encoder is trained on all training sequences", where="crm.shots"
        )
