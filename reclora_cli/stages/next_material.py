"""What an adapter is tuned on under the task ``next``: training sequences, as prompts and titles.

Each epoch has prompts of its own: for each row a wording and 19 other candidates are drawn anew. Of
hybrid prompts under the curriculum it is drawn, too, which prompts are hybrid yet (LLaRA).

Shapes: n rows, C candidates.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reclora_cli.data.sequences.audit import audit
from reclora_cli.data.sequences.candidates import draw_candidates
from reclora_cli.data.sequences.rows import Ints, past_is_history
from reclora_cli.data.shots import check_budget
from reclora_cli.errors import UsageError
from reclora_cli.lora.adapter_with_vectors import AdapterWithVectors
from reclora_cli.lora.adapters import Adapter
from reclora_cli.processes import ALONE, Processes
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.recipe import Recipe
from reclora_cli.seeding import numpy_stream, stream_seed
from reclora_cli.stages import locate
from reclora_cli.stages.assemble import Speaker
from reclora_cli.stages.classroom import Classroom, Rows
from reclora_cli.stages.make_adapter import make_adapter
from reclora_cli.stages.next_sources import NextSources
from reclora_cli.stages.plan_tuning import drawn_representation
from reclora_cli.training.lm_work import (
    Continuations,
    Examples,
    order_of,
    steps_of,
    steps_per_epoch,
)
from reclora_cli.workspace import Workspace


class Sequels:
    """Training sequences, each continued by what came next.

    Raises:
        UsageError: more shots are asked for than there are sequences, or a setting is of the task
            ``rate``.
        MissingInputError: the sequences are not prepared.
    """

    def __init__(
        self,
        recipe: Recipe,
        workspace: Workspace,
        device: torch.device,
        together: Processes = ALONE,
    ) -> None:
        check_settings(recipe)
        self._recipe, self._workspace, self._together = recipe, workspace, together
        self.sources = NextSources(recipe, workspace, device)
        known = len(self.sources.store.split("train"))
        check_budget(recipe.data.source, known, recipe.finetune.shots)
        order = numpy_stream(recipe.seed, "shots").permutation(known)
        self.rows: Rows = order[: recipe.finetune.shots].astype(np.int64)

    @property
    def prompts(self) -> int:
        return len(self.rows)

    def require_sound(self, where: str) -> None:
        audit(self.sources.store).require(where)

    def examples(self, classroom: Classroom, cache: Path) -> Examples:
        speaker, epochs = classroom.speaker(self._recipe), self._recipe.finetune.epochs
        chosen = self.sources.store.split("train").chosen(self.rows)
        # The main process asks the encoder for all of them.
        represented = self._together.from_main(
            lambda: self.sources.gate_input(chosen, self.rows, "train")
        )
        made = self._written(speaker, self.rows, epochs)
        if represented is None:
            return made
        return replace(made, representation=np.tile(represented, (epochs, 1)))

    def asked(self, speaker: Speaker, rows: Rows) -> Examples:
        """Training rows, shots or not, as the first epoch would write them; hybrid ones are."""
        chosen = self.sources.store.split("train").chosen(rows)
        made = self._written(speaker, rows, 1, curriculum=False)
        return replace(made, representation=self.sources.gate_input(chosen, rows, "train"))

    def sampled(self, speaker: Speaker, most: int, progress: Progress = SILENT) -> Examples:
        made = self._written(speaker, self.rows[:most], 1)
        return replace(made, representation=drawn_representation(len(made), self.width()))

    def make_adapter(self, model: nn.Module, width: int | None) -> Adapter:
        made, vectors = make_adapter(self._recipe, model, width), self.vectors()
        if vectors is None:
            return made
        seed = stream_seed(self._recipe.seed, "projector")
        return AdapterWithVectors(made, model, vectors, seed=seed)

    def width(self) -> int | None:
        if locate.informed(self._recipe):
            return self.sources.representation_width
        return 0 if locate.gated(self._recipe) else None

    def direction(self) -> torch.Tensor | None:
        return None

    def users(self) -> Rows:
        """Rows whose user is not known count as a user each."""
        known = np.asarray(self.sources.store.split("train").user[self.rows], dtype=np.int64)
        return np.where(known >= 0, known, -1 - np.arange(len(known)))

    def vectors(self) -> torch.Tensor | None:
        if not locate.hybrid(self._recipe):
            return None
        if locate.crm(self._recipe, self._workspace).manifest() is None:  # Of a plan alone.
            return torch.zeros(self.sources.store.header.items, self.sources.representation_width)
        return self._together.from_main(self.sources.item_vectors)

    def _written(
        self, speaker: Speaker, rows: Rows, epochs: int, *, curriculum: bool = True
    ) -> Continuations:
        """The prompts of ``epochs`` epochs and the answers; what a gate reads is left out."""
        prompts, target = self.sources.prompts(speaker), self.sources.store.split("train").target
        sets = []
        for epoch in range(epochs):
            words = self._stream("wordings", epoch).integers(0, prompts.wordings, len(rows))
            sets.append(
                prompts.encode(
                    self.sources.store.split("train").history[rows],
                    self._candidates(rows, epoch),
                    words,
                    self._hybrid(len(rows), epoch, curriculum=curriculum),
                )
            )
        return Continuations(
            prompts=EncodedPrompts.concatenate(sets),
            labels=np.tile(np.asarray(target[rows], dtype=np.int64), epochs),
            answers=self.sources.answers(speaker),
            representation=None,
            epochs=epochs,
        )

    def _candidates(self, rows: Rows, epoch: int) -> Ints:
        """(n, C): the row's target among items that are not in its history."""
        store = self.sources.store
        chosen = store.split("train").chosen(rows)
        past = past_is_history({"train": chosen})
        return draw_candidates(
            chosen.target,
            lambda row: past("train", row),
            store.header.items,
            store.header.candidates,
            self._stream("candidates", epoch),
            str(store.folder),
        )

    def _hybrid(self, n: int, epoch: int, *, curriculum: bool) -> NDArray[np.bool_]:
        """Which prompts of an epoch are hybrid, (n,)."""
        recipe = self._recipe
        if not locate.hybrid(recipe):
            return np.zeros(n, dtype=bool)
        if recipe.next.prompt.curriculum == "none" or not curriculum:
            return np.ones(n, dtype=bool)
        step = np.empty(n, dtype=np.int64)
        step[order_of(epoch, n, recipe.seed)] = np.arange(n) // recipe.finetune.batch_size
        step += epoch * steps_per_epoch(n, recipe.finetune)
        chance = step / max(1, steps_of(n, recipe.finetune) - 1)
        return self._stream("curriculum", epoch).random(n) < chance

    def _stream(self, what: str, epoch: int) -> np.random.Generator:
        return numpy_stream(self._recipe.seed, f"training {what}", epoch)


def check_settings(recipe: Recipe) -> None:
    """Refuse settings that the task ``next`` cannot be tuned with.

    Raises:
        UsageError: naming the setting.
    """
    if recipe.finetune.loss != "tokens":
        raise UsageError(
            "loss: answers compares yes and no, which the task next does not ask for",
            where="finetune.loss",
            hint="Use --set finetune.loss=tokens.",
        )
    if recipe.gate.input == "user" and locate.gated(recipe):
        raise UsageError(
            "z has no target in it: of the task next, gate.input is row, shuffled, random or none",
            where="gate.input",
            hint="Use --set gate.input=row.",
        )
    if recipe.gate.start == "crm" and locate.gated(recipe):
        raise UsageError(
            "a gate cannot start from the answer of a sequence encoder",
            where="gate.start",
            hint="Use --set gate.start=random or even.",
        )
