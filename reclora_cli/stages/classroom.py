"""What tunings read, made once for all that read the same: the LM, and rows as it reads them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli import recipe as recipes
from reclora_cli.processes import ALONE, Processes
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import locate
from reclora_cli.stages.assemble import Sources, Speaker, load_speaker
from reclora_cli.stages.shot_examples import encode, make_examples
from reclora_cli.training.lm_work import Examples

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Questioned:
    """Rows as the LM is asked about them.

    Attributes:
        prompts: n encoded prompts.
        representation: (n, d) R_c, or ``None`` without a gate.
    """

    prompts: EncodedPrompts
    representation: NDArray[np.float32] | None


class Classroom:
    """The LM, and rows as examples and as questions, kept for trainings that read the same.

    Args:
        together: processes that train together; the main one alone fetches and asks the CRM.
    """

    def __init__(
        self, device: torch.device, progress: Progress = SILENT, together: Processes = ALONE
    ) -> None:
        self._device, self._progress, self._together = device, progress, together
        self._speaker: tuple[str, Speaker] | None = None
        self._examples: dict[str, Examples] = {}
        self._questions: dict[str, Questioned] = {}

    def speaker(self, recipe: Recipe) -> Speaker:
        """The recipe's LM, loaded once."""
        key = recipes.fingerprint(recipe.lm)
        if self._speaker is None or self._speaker[0] != key:
            self._speaker = None  # Free the one before first.
            loaded = load_speaker(recipe.lm, self._device, self._progress, self._together)
            self._speaker = key, loaded
        return self._speaker[1]

    def examples(self, recipe: Recipe, sources: Sources, rows: Rows, cache: Path) -> Examples:
        """The shots' prompts, answers and R_c, made once.

        Args:
            cache: file that keeps R_c of the shots; a resumed tuning does not ask the CRM again.
        """
        key = _key(recipe, rows)
        if key not in self._examples:
            speaker = self.speaker(recipe)
            made = make_examples(
                recipe, sources, speaker, rows, cache, self._progress, self._together
            )
            self._examples = {key: made}  # One kept: trials differ in what is trained, not read.
        return self._examples[key]

    def questions(self, recipe: Recipe, sources: Sources, rows: Rows) -> Questioned:
        """Prompts and R_c of rows that are scored, made once."""
        key = _key(recipe, rows)
        if key not in self._questions:
            asked = Questions.of_rows(sources.store, rows)
            policy = recipe.prompt.behaviours
            prompts = encode(sources, self.speaker(recipe), asked, policy)
            represented = sources.gate_input(asked)
            self._questions = {key: Questioned(prompts, represented)}
        return self._questions[key]


def _key(recipe: Recipe, rows: Rows) -> str:
    """Of what decides how rows are read: settings of the training do not."""
    parts = locate.recipe_parts("finetune", recipe)
    read = {
        name: part
        for name, part in parts.items()
        if name not in {"adapter", "finetune", "gate", "seed"}
    }
    return recipes.fingerprint(read, recipe.gate.input, hashlib.sha256(rows.tobytes()).hexdigest())
