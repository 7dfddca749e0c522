"""One tuning of an adapter inside a frozen LM: what it reads, its steps, and what it leaves.

recipe.yaml  shots.npy  log.jsonl  adapter/  population_*.npy  checkpoints/ (while it runs)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli import processes
from reclora_cli import recipe as recipes
from reclora_cli.data.audit import audit
from reclora_cli.data.shots import sample_shots
from reclora_cli.lm.compiled import compiled
from reclora_cli.lm.recompute import recomputed
from reclora_cli.lora.adapters import Adapter
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate, population
from reclora_cli.stages.assemble import Sources, Speaker
from reclora_cli.stages.classroom import Classroom, Rows, hashes_of, require_same
from reclora_cli.stages.import_adapter import begin
from reclora_cli.stages.make_adapter import make_adapter
from reclora_cli.stages.plan_tuning import micro_batch_of
from reclora_cli.stages.runs import RECIPE_FILE, SHOTS_FILE
from reclora_cli.training import Checkpoints, Log, StepLog, fit
from reclora_cli.training.lm_work import Examples, lengths_of, lm_work, steps_of
from reclora_cli.training.loop import AfterStep
from reclora_cli.training.micro_batch import MicroBatchPlan, MicroBatchTokens
from reclora_cli.training.tensorboard import open_logs
from reclora_cli.workspace import Artefact, Workspace, atomic_file, write_text


class Watcher(AfterStep, Protocol):
    """Called after each step, and once when the training has come to its end."""

    def finished(self, memory: dict[str, Any]) -> None: ...


Watch = Callable[[Speaker, Adapter, StepLog], Watcher]
"""Given the LM, the adapter under training and the log: who watches the training."""


@dataclass(frozen=True)
class Tuned:
    """What a tuning leaves besides its files.

    Attributes:
        losses: of each step.
        read: SHA-256 of what was read, by the names of ``classroom.ORIGIN``: a tuning that reads
            the same under the same recipe gives the same adapter, wherever its inputs were made.
        computed: what its last bits depend on besides: device, processes, threads, micro-batch.
    """

    examples: int
    steps: int
    trainable_parameters: int
    gate_parameters: int
    shortened: int
    losses: list[float]
    read: dict[str, str]
    computed: dict[str, Any]


class LmTraining:
    """The recipe's adapter, untrained, and its way to the last step.

    Args:
        artefact: where it is trained; ``None`` for where the recipe's run lies.
        classroom: the LM and the examples, when several trainings share them.

    Attributes:
        rows: the shots, row ids.
        together: the processes that train it; the main one writes.

    Raises:
        UsageError: more shots are asked for than there are rows.
        MissingInputError: the prepared dataset is missing.
    """

    def __init__(
        self,
        recipe: Recipe,
        workspace: Workspace,
        device: torch.device,
        artefact: Artefact | None = None,
        classroom: Classroom | None = None,
    ) -> None:
        self.recipe, self.workspace, self.device = recipe, workspace, device
        self.together = processes.meet(device)
        self.sources = Sources(recipe, workspace, device)
        self.rows: Rows = sample_shots(self.sources.store, recipe.finetune.shots, recipe.seed)
        self.artefact = artefact or locate.run(recipe, workspace)
        self._classroom = classroom

    def train(
        self,
        inputs: Mapping[str, str],
        progress: Progress = SILENT,
        *,
        anew: bool = False,
        tensorboard: bool = False,
        watch: Watch | None = None,
        expected: Mapping[str, str] | None = None,
        computed: Mapping[str, Any] | None = None,
    ) -> Tuned:
        """Tune to the last step, from the last checkpoint if there is one; write the adapter.

        Args:
            inputs: identities of what is read, as ``locate.inputs_of`` gives them.
            anew: start over, whatever checkpoints there are.
            tensorboard: log for TensorBoard too.
            watch: makes what is called after each step; what that raises ends the training.
            expected: hashes of what must be read (``Tuned.read`` of another tuning).
            computed: whose micro-batches to take (``Tuned.computed`` of another tuning), in place
                of those that this machine's memory suggests.

        Raises:
            CheckError: something else is read than ``expected``; names what.
            RecloraError: the checkpoints are of another recipe or other inputs, or the loss
                stopped being finite.
        """
        folder = self.artefact.path
        checkpoints = self._checkpoints(inputs)
        audit(self.sources.store, shots=self.rows).require(str(folder))
        if anew and self.together.main:
            checkpoints.clear()
        if self.together.main:
            write_text(folder / RECIPE_FILE, recipes.to_yaml(self.recipe))
            with atomic_file(folder / SHOTS_FILE) as file:
                np.save(file, self.rows)
        classroom = self._classroom or Classroom(self.device, progress, self.together)
        speaker = classroom.speaker(self.recipe)
        cache = folder / "representations.safetensors"
        examples = classroom.examples(self.recipe, self.sources, self.rows, cache)
        read = hashes_of(speaker, self.rows, examples)
        require_same(read, expected or {}, folder)
        width = None if examples.representation is None else examples.representation.shape[1]
        adapter = make_adapter(self.recipe, speaker.lm.model, width)
        if examples.representation is not None:
            adapter.fit_input(torch.from_numpy(examples.representation))
        begin(self.recipe, adapter, speaker.lm.identity, progress)
        try:
            plan = self._micro_batch(examples, computed or {}, progress)
            done = self._fit(
                speaker, adapter, examples, plan, checkpoints, progress, watch, tensorboard
            )
            return self._finished(speaker, adapter, examples, checkpoints, read, done)
        finally:
            adapter.remove()

    def _checkpoints(self, inputs: Mapping[str, str]) -> Checkpoints:
        return Checkpoints(
            self.artefact.path / "checkpoints",
            self.recipe.finetune.checkpoint_every,
            recipes.fingerprint(locate.fingerprint_of("finetune", self.recipe), dict(inputs)),
            {"recipe": locate.recipe_parts("finetune", self.recipe), "inputs": dict(inputs)},
        )

    def _fit(
        self,
        speaker: Speaker,
        adapter: Adapter,
        examples: Examples,
        plan: MicroBatchPlan,
        checkpoints: Checkpoints,
        progress: Progress,
        watch: Watch | None,
        tensorboard: bool,
    ) -> dict[str, Any]:
        """Take the steps; returns how they were computed."""
        recipe, folder = self.recipe, self.artefact.path
        adapter.train(True)
        micro_batch = MicroBatchTokens(plan.tokens, progress)
        work = lm_work(
            speaker.lm.model,
            adapter,
            examples,
            recipe.finetune,
            recipe.seed,
            self.device,
            self.together,
            micro_batch,
        )
        progress.say(
            f"{locate.method_name(recipe)}: {len(examples):,} prompts, {work.steps:,} steps, "
            f"{adapter.parameter_count():,} trained parameters"
        )
        _tell_of_mixed(recipe, len(self.rows), work.steps, progress)
        texts = {"recipe": recipes.to_yaml(recipe)} if tensorboard and self.together.main else None
        with (
            open_logs(Log(folder / "log.jsonl"), folder, texts, work.rows_per_step) as logs,
            recomputed(speaker.lm.model, plan.recompute),
            compiled(speaker.lm.model, recipe.finetune.compile),
        ):
            watcher = watch(speaker, adapter, logs) if watch else None
            memory = fit(
                work, checkpoints=checkpoints, log=logs, after_step=watcher, progress=progress
            )
        if watcher:
            watcher.finished(memory)
        adapter.train(False)
        return {
            "device": self.device.type,
            "processes": self.together.count,
            "threads": torch.get_num_threads(),
            "micro_batch_tokens": int(micro_batch),  # A checkpoint's, where it went on from one.
            "gradient_checkpointing": plan.recompute,
        }

    def _micro_batch(
        self, examples: Examples, computed: Mapping[str, Any], progress: Progress
    ) -> MicroBatchPlan:
        """The same in every process: the main one's memory decides, or another tuning did."""
        settings = self.recipe.finetune
        if computed:
            recompute = "on" if computed["gradient_checkpointing"] else "off"
            same = {"micro_batch_tokens": computed["micro_batch_tokens"]}
            settings = settings.model_copy(update={**same, "gradient_checkpointing": recompute})
        represented = examples.representation
        width = None if represented is None else represented.shape[1]

        def chosen() -> MicroBatchPlan:
            make = partial(make_adapter, self.recipe, representation_width=width)
            lengths = lengths_of(examples)
            return micro_batch_of(self.recipe, settings, make, lengths, self.device, progress)

        return self.together.from_main(chosen)

    def _finished(
        self,
        speaker: Speaker,
        adapter: Adapter,
        examples: Examples,
        checkpoints: Checkpoints,
        read: dict[str, str],
        computed: dict[str, Any],
    ) -> Tuned:
        folder = self.artefact.path
        if self.together.main:
            adapter.save(folder / "adapter", speaker.lm.identity)
            if examples.representation is not None:
                self._write_population(adapter, examples.representation[: len(self.rows)])
            checkpoints.clear()
        losses = self.together.from_main(
            lambda: [line["loss"] for line in Log(folder / "log.jsonl").read() if "loss" in line]
        )
        return Tuned(
            examples=len(examples),
            steps=len(losses),
            trainable_parameters=adapter.parameter_count(),
            gate_parameters=sum(p.numel() for p in adapter.gate_parameters()),
            shortened=examples.prompts.shortened,
            losses=losses,
            read=read,
            computed=computed,
        )

    def _write_population(self, adapter: Adapter, represented: NDArray[np.float32]) -> None:
        weights = population.gate_weights(adapter, represented, self.device)
        users = self.sources.store.row_user(self.rows)
        population.write(self.artefact.path, population.measure(weights, users))


def _tell_of_mixed(recipe: Recipe, shots: int, steps: int, progress: Progress) -> None:
    """ReLLa's equal shots are not equal steps: say so, and how to have these."""
    if recipe.prompt.behaviours == "mixed":
        progress.say(
            f"each shot is two prompts: {steps:,} steps, where other methods take "
            f"{steps_of(shots, recipe.finetune):,} with as many shots. With as many steps: "
            f"--set finetune.batch_size={2 * recipe.finetune.batch_size}"
        )
