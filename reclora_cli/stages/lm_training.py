"""One tuning of an adapter inside a frozen LM: what it reads, its steps, and what it leaves.

recipe.yaml  shots.npy  computed.json  log.jsonl  adapter/  population_*.npy
checkpoints/ (while it runs)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import numpy as np
import torch

from reclora_cli import processes
from reclora_cli import recipe as recipes
from reclora_cli.device import could_be_bf16
from reclora_cli.lm.compiled import compiled
from reclora_cli.lm.recompute import recomputed
from reclora_cli.lora.adapters import Adapter
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate, population
from reclora_cli.stages.assemble import Speaker
from reclora_cli.stages.classroom import Classroom
from reclora_cli.stages.import_adapter import begin
from reclora_cli.stages.lm_tuned import Repeated, Tuned, hashes_of
from reclora_cli.stages.material import maker, material_of
from reclora_cli.stages.plan_tuning import micro_batch_of
from reclora_cli.stages.runs import COMPUTED_FILE, RECIPE_FILE, SHOTS_FILE
from reclora_cli.training import Checkpoints, Log, StepLog, Work, fit
from reclora_cli.training.lm_work import (
    MICRO_BATCH,
    AnswerBatch,
    Examples,
    lengths_of,
    lm_work,
    steps_of,
)
from reclora_cli.training.loop import AfterStep
from reclora_cli.training.micro_batch import MicroBatchPlan, MicroBatchTokens
from reclora_cli.training.tensorboard import open_logs
from reclora_cli.workspace import Artefact, Workspace, atomic_file, write_json, write_text


class Watcher(AfterStep, Protocol):
    """Called after each step, and once when the training has come to its end."""

    def finished(self, memory: dict[str, Any]) -> None: ...


Watch = Callable[[Speaker, Adapter, StepLog], Watcher]
"""Given the LM, the adapter under training and the log: who watches the training."""


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
        self.material = material_of(recipe, workspace, device, self.together)
        self.rows = self.material.rows
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
        repeated: Repeated | None = None,
    ) -> Tuned:
        """Tune to the last step, from the last checkpoint if there is one; write the adapter.

        Args:
            inputs: identities of what is read, as ``locate.inputs_of`` gives them.
            anew: start over, whatever checkpoints there are.
            tensorboard: log for TensorBoard too.
            watch: makes what is called after each step; what that raises ends the training.

        Raises:
            CheckError: something else is read than what ``repeated`` read; names what.
            RecloraError: the checkpoints are of another recipe or other inputs, or the loss
                stopped being finite.
        """
        checkpoints = self._checkpoints(inputs)
        self._begin(checkpoints, anew=anew)
        classroom = self._classroom or Classroom(self.device, progress, self.together)
        speaker = classroom.speaker(self.recipe)
        cache = self.artefact.path / "representations.safetensors"
        examples = self.material.examples(classroom, cache)
        read = hashes_of(speaker, self.rows, examples, self.material.vectors())
        if repeated:
            repeated.require(read, self.artefact.path)
        with self._adapter(speaker, examples, progress) as adapter:
            plan = self._micro_batch(examples, self._begun(checkpoints) or repeated, progress)
            work = self._work(speaker, adapter, examples, MicroBatchTokens(plan.tokens, progress))
            self._tell(adapter, work, len(examples), progress)
            with self._logs(work, tensorboard=tensorboard) as logs, self._passes(speaker, plan):
                watcher = watch(speaker, adapter, logs) if watch else None
                memory = fit(
                    work, checkpoints=checkpoints, log=logs, after_step=watcher, progress=progress
                )
            if watcher:
                watcher.finished(memory)
            self._finish(speaker, adapter, examples)
            return Tuned(
                examples=len(examples),
                steps=memory["steps"],
                trainable_parameters=adapter.parameter_count(),
                gate_parameters=sum(p.numel() for p in adapter.gate_parameters()),
                shortened=examples.prompts.shortened,
                losses=self._losses(),
                read=read,
                computed=self._computed(work, plan),
            )

    def _checkpoints(self, inputs: Mapping[str, str]) -> Checkpoints:
        return Checkpoints(
            self.artefact.path / "checkpoints",
            self.recipe.finetune.checkpoint_every,
            recipes.fingerprint(locate.fingerprint_of("finetune", self.recipe), dict(inputs)),
            {"recipe": locate.recipe_parts("finetune", self.recipe), "inputs": dict(inputs)},
        )

    def _begin(self, checkpoints: Checkpoints, *, anew: bool) -> None:
        """What the folder holds from the first moment: the recipe and the shots."""
        folder = self.artefact.path
        self.material.require_sound(str(folder))
        if not self.together.main:
            return
        if anew:
            checkpoints.clear()
        write_text(folder / RECIPE_FILE, recipes.to_yaml(self.recipe))
        with atomic_file(folder / SHOTS_FILE) as file:
            np.save(file, self.rows)

    @contextmanager
    def _adapter(
        self, speaker: Speaker, examples: Examples, progress: Progress
    ) -> Iterator[Adapter]:
        """The untrained adapter inside the LM; taken out again on the way out."""
        adapter = self.material.make_adapter(speaker.lm.model, examples.width)
        try:
            if examples.representation is not None:
                represented = torch.from_numpy(examples.representation)
                adapter.fit_input(represented, self.material.direction())
            begin(self.recipe, adapter, speaker.lm.identity, progress)
            yield adapter
        finally:
            adapter.remove()

    def _begun(self, checkpoints: Checkpoints) -> Repeated | None:
        """How the tuning that lies here half made is computed: it goes on in the same way."""
        file = self.artefact.path / COMPUTED_FILE
        known = self.together.from_main(
            lambda: json.loads(file.read_text()) if checkpoints.there and file.is_file() else {}
        )
        return Repeated(read={}, computed=known) if known else None

    def _micro_batch(
        self, examples: Examples, repeated: Repeated | None, progress: Progress
    ) -> MicroBatchPlan:
        """The same in every process: the main one's memory decides, or another tuning did."""
        own = self.recipe.finetune
        settings = repeated.micro_batches(own) if repeated else own
        make, longest = maker(self.material, examples.width), max(map(len, examples.answers))
        lengths = lengths_of(examples)

        def chosen() -> MicroBatchPlan:
            plan = micro_batch_of(
                self.recipe, settings, make, lengths, self.device, progress, longest
            )
            told = {"micro_batch_tokens": plan.tokens, "gradient_checkpointing": plan.recompute}
            write_json(self.artefact.path / COMPUTED_FILE, told)
            return plan

        return self.together.from_main(chosen)

    def _work(
        self, speaker: Speaker, adapter: Adapter, examples: Examples, micro_batch: MicroBatchTokens
    ) -> Work[AnswerBatch]:
        adapter.train(True)
        return lm_work(
            speaker.lm.model,
            adapter,
            examples,
            self.recipe.finetune,
            self.recipe.seed,
            self.device,
            self.together,
            micro_batch,
        )

    def _tell(
        self, adapter: Adapter, work: Work[AnswerBatch], prompts: int, progress: Progress
    ) -> None:
        progress.say(
            f"{locate.method_name(self.recipe)}: {prompts:,} prompts, {work.steps:,} steps, "
            f"{adapter.parameter_count():,} trained parameters"
        )
        if could_be_bf16(self.device, self.recipe.lm.precision):
            progress.say(
                "this CPU multiplies bfloat16 in hardware: --set lm.precision=bf16 takes about "
                "half the time, with three digits in place of seven"
            )
        if self.material.prompts > len(self.rows):  # ReLLa's equal shots are not equal steps.
            steps = steps_of(len(self.rows), self.recipe.finetune)
            progress.say(
                f"each shot is two prompts: {work.steps:,} steps, where other methods take "
                f"{steps:,} with as many shots. With as many steps: "
                f"--set finetune.batch_size={2 * self.recipe.finetune.batch_size}"
            )

    def _logs(
        self, work: Work[AnswerBatch], *, tensorboard: bool
    ) -> AbstractContextManager[StepLog]:
        told = tensorboard and self.together.main
        texts = {"recipe": recipes.to_yaml(self.recipe)} if told else None
        return open_logs(self._log, self.artefact.path, texts, work.rows_per_step)

    @contextmanager
    def _passes(self, speaker: Speaker, plan: MicroBatchPlan) -> Iterator[None]:
        """Within this, passes of the LM are computed as the plan and the recipe say."""
        model = speaker.lm.model
        with recomputed(model, plan.recompute), compiled(model, self.recipe.finetune.compile):
            yield

    def _finish(self, speaker: Speaker, adapter: Adapter, examples: Examples) -> None:
        adapter.train(False)
        if not self.together.main:
            return
        adapter.save(self.artefact.path / "adapter", speaker.lm.identity)
        if examples.representation is not None:
            represented = examples.representation[: len(self.rows)]
            weights = population.gate_weights(adapter, represented, self.device)
            population.write(self.artefact.path, population.measure(weights, self.material.users()))

    def forget(self, inputs: Mapping[str, str]) -> None:
        """Remove the checkpoints: the run's folder is finished, or starts anew."""
        if self.together.main:
            self._checkpoints(inputs).clear()

    def _computed(self, work: Work[AnswerBatch], plan: MicroBatchPlan) -> dict[str, Any]:
        return {
            "device": self.device.type,
            "processes": self.together.count,
            "threads": torch.get_num_threads(),
            # Not the plan's: it may have been halved, or be that of the checkpoint gone on from.
            "micro_batch_tokens": int(work.tensors[MICRO_BATCH]),
            "gradient_checkpointing": plan.recompute,
        }

    @property
    def _log(self) -> Log:
        return Log(self.artefact.path / "log.jsonl")

    def _losses(self) -> list[float]:
        """Of each step; the main process has the log."""
        return self.together.from_main(
            lambda: [line["loss"] for line in self._log.read() if "loss" in line]
        )
