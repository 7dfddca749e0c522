"""An LM with a run's adapter, ready to be asked: what evaluate, recommend and predict share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from reclora_cli.lora.adapters import Adapter, open_adapter
from reclora_cli.processes import ALONE, Processes
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.lm_scorer import Answered, answer
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages.assemble import Sources, Speaker, load_speaker


@dataclass(frozen=True)
class OpenedRun:
    """A run's models in memory.

    Attributes:
        recipe: the run's own.
        together: processes that ask it at the same time.
    """

    recipe: Recipe
    speaker: Speaker
    adapter: Adapter
    device: torch.device
    together: Processes = ALONE

    @classmethod
    def load(
        cls,
        recipe: Recipe,
        folder: Path | None,
        device: torch.device,
        progress: Progress = SILENT,
        together: Processes = ALONE,
    ) -> OpenedRun:
        """Load the recipe's LM, with the adapter of ``folder``; ``None`` leaves the LM bare."""
        speaker = load_speaker(recipe.lm, device, progress, together)
        kind = recipe.adapter.kind if folder else "none"
        adapter = open_adapter(kind, folder or Path(), speaker.lm.model, speaker.lm.identity)
        return cls(recipe, speaker, adapter, device, together)

    def answer(
        self,
        sources: Sources,
        questions: Questions,
        progress: Progress = SILENT,
        *,
        batch_tokens: int,
        keep_gates: bool = False,
    ) -> Answered:
        """P(yes) of each question, (n,), and with ``keep_gates`` the gate weights behind it.

        Args:
            sources: of the run's recipe; what the questions' users, items and ends belong to.
            batch_tokens: padded prompt tokens of one forward pass.
        """
        positions = sources.prompt_behaviours(questions, self.recipe.prompt.behaviours)
        return answer(
            self.speaker.lm.model,
            self.adapter,
            self.speaker.answers,
            self.speaker.encode(sources.writer, questions.users, questions.items, positions),
            sources.gate_input(questions),
            device=self.device,
            batch_tokens=batch_tokens,
            keep_gates=keep_gates,
            progress=progress,
            together=self.together,
        )
