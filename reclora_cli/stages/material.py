"""What an adapter is tuned on, whatever the task: which rows, and what they are as examples.

``RatedRows`` for the task ``rate``; ``stages.next_material`` for ``next``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from reclora_cli.crm.base import representation_width
from reclora_cli.data.audit import audit
from reclora_cli.data.shots import sample_shots
from reclora_cli.lora.adapters import Adapter
from reclora_cli.processes import ALONE, Processes
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import locate
from reclora_cli.stages.assemble import Sources, Speaker
from reclora_cli.stages.classroom import Classroom, Rows
from reclora_cli.stages.make_adapter import make_adapter
from reclora_cli.stages.plan_tuning import drawn_representation
from reclora_cli.stages.shot_examples import encode, policies
from reclora_cli.training.lm_work import Examples
from reclora_cli.workspace import Workspace


class Material(Protocol):
    """Rows of one task that a recipe's adapter is tuned on.

    Attributes:
        rows: the shots, row ids of the task's store.
    """

    @property
    def rows(self) -> Rows: ...

    @property
    def prompts(self) -> int:
        """Prompts of one epoch."""
        ...

    def require_sound(self, where: str) -> None:
        """Audit what the rows are read from.

        Raises:
            CheckError: a proof of the data fails.
        """
        ...

    def examples(self, classroom: Classroom, cache: Path) -> Examples:
        """The shots as the LM learns from them."""
        ...

    def sampled(self, speaker: Speaker, most: int, progress: Progress = SILENT) -> Examples:
        """Some shots in the lengths of real ones, for a plan; what a gate reads is drawn."""
        ...

    def make_adapter(self, model: nn.Module, width: int | None) -> Adapter:
        """The recipe's adapter, untrained, inside ``model``; ``width`` is of what a gate reads."""
        ...

    def width(self) -> int | None:
        """Of what the gate reads; 0 without a gate, ``None`` without experts to mix."""
        ...

    def direction(self) -> torch.Tensor | None:
        """(d,) of the CRM's answer, for a gate that starts at it."""
        ...

    def vectors(self) -> torch.Tensor | None:
        """(V, D) that prompts name items by, beside their titles; ``None`` where they do not."""
        ...

    def users(self) -> Rows:
        """Who each row is of, (n,)."""
        ...


class RatedRows:
    """Rows of ratings, asked about with yes or no.

    Raises:
        UsageError: more shots are asked for than there are rows.
        MissingInputError: the prepared dataset is missing.
    """

    def __init__(
        self,
        recipe: Recipe,
        workspace: Workspace,
        device: torch.device,
        together: Processes = ALONE,
    ) -> None:
        self._recipe, self._workspace, self._together = recipe, workspace, together
        self.sources = Sources(recipe, workspace, device)
        self.rows: Rows = sample_shots(self.sources.store, recipe.finetune.shots, recipe.seed)

    @property
    def prompts(self) -> int:
        return len(self.rows) * len(policies(self._recipe))

    def require_sound(self, where: str) -> None:
        audit(self.sources.store, shots=self.rows).require(where)

    def examples(self, classroom: Classroom, cache: Path) -> Examples:
        return classroom.examples(self._recipe, self.sources, self.rows, cache)

    def sampled(self, speaker: Speaker, most: int, progress: Progress = SILENT) -> Examples:
        """Of recent behaviours, where nothing is ranked yet."""
        rows = self.rows[:most]
        ranked = locate.index(self._recipe, self._workspace).manifest() is not None
        used = policies(self._recipe)
        if not ranked and "retrieved" in used:
            progress.say("lengths are of recent behaviours: build-index has not run")
        asked = Questions.of_rows(self.sources.store, rows)
        encoded = [
            encode(self.sources, speaker, asked, policy)
            for policy in (used if ranked else ("recent",))
        ]
        prompts = EncodedPrompts.concatenate(encoded)
        return Examples(
            prompts,
            np.tile(self.sources.store.row_label(rows), len(encoded)),
            (speaker.answers.yes_ids, speaker.answers.no_ids),
            drawn_representation(len(prompts), self.width()),
        )

    def make_adapter(self, model: nn.Module, width: int | None) -> Adapter:
        return make_adapter(self._recipe, model, width)

    def width(self) -> int | None:
        if locate.informed(self._recipe):
            return representation_width(self._recipe.crm, self.sources.crm_shape)
        return 0 if locate.gated(self._recipe) else None

    def direction(self) -> torch.Tensor | None:
        if locate.gate_start(self._recipe) != "crm":
            return None
        return torch.from_numpy(self._together.from_main(self.sources.crm.answer_direction))

    def vectors(self) -> torch.Tensor | None:
        return None

    def users(self) -> Rows:
        return np.asarray(self.sources.store.row_user(self.rows), dtype=np.int64)


def material_of(
    recipe: Recipe, workspace: Workspace, device: torch.device, together: Processes = ALONE
) -> Material:
    """The material of the recipe's task.

    Raises:
        UsageError: more shots are asked for than there are rows, or a setting is of another task.
        MissingInputError: the prepared dataset is missing.
    """
    if recipe.task == "next":
        from reclora_cli.stages.next_material import Sequels

        return Sequels(recipe, workspace, device, together)
    return RatedRows(recipe, workspace, device, together)


def maker(material: Material, width: int | None) -> partial[Adapter]:
    """``make_adapter`` of a model alone."""
    return partial(material.make_adapter, width=width)
