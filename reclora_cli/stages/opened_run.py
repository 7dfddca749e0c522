"""An LM with a run's adapter, ready to be asked: what evaluate, recommend, predict
and serve share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli.lora.adapters import Adapter, open_adapter
from reclora_cli.processes import ALONE, Processes
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.lm_scorer import Answered, answer
from reclora_cli.scoring.questions import Positions, Questions
from reclora_cli.stages.assemble import Sources, Speaker, load_speaker


@dataclass(frozen=True)
class Prompts:
    """n questions as the LM is asked them; questions of several users may stand in one.

    Attributes:
        encoded: token ids.
        representation: (n, d) what the gate reads of each; ``None`` without a gate.
    """

    encoded: EncodedPrompts
    representation: NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.encoded)

    @classmethod
    def together(cls, parts: Sequence[tuple[Prompts, Sequence[int]]]) -> Prompts:
        """The chosen prompts of each part, one part after the other; of one run all, at least one
        chosen."""
        rows = [one.encoded[at].tolist() for one, chosen in parts for at in chosen]
        read = [one.representation[list(at)] for one, at in parts if one.representation is not None]
        return cls(EncodedPrompts.from_lists(rows), np.concatenate(read) if read else None)


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
        return self.answer_prompts(
            self.prompts(sources, questions),
            progress,
            batch_tokens=batch_tokens,
            keep_gates=keep_gates,
        )

    def prompts(self, sources: Sources, questions: Questions) -> Prompts:
        """The questions, read and tokenised."""
        positions = sources.prompt_behaviours(questions, self.recipe.prompt.behaviours)
        return Prompts(
            self.speaker.encode(sources.writer, questions.users, questions.items, positions),
            sources.gate_input(questions),
        )

    def read(self, sources: Sources, questions: Questions) -> list[Positions]:
        """Of each question the behaviours that its prompt holds, in time order.

        The oldest may not fit the LM's context.
        """
        positions = sources.prompt_behaviours(questions, self.recipe.prompt.behaviours)
        held = (
            self.speaker.held(sources.writer, user[None], item[None], found[None])[0]
            for user, item, found in zip(questions.users, questions.items, positions, strict=True)
        )
        return [found[found >= 0] for found in held]

    def answer_prompts(
        self,
        prompts: Prompts,
        progress: Progress = SILENT,
        *,
        batch_tokens: int,
        keep_gates: bool = False,
    ) -> Answered:
        """As ``answer``, of prompts that may come from several sources."""
        return answer(
            self.speaker.lm.model,
            self.adapter,
            self.speaker.answers,
            prompts.encoded,
            prompts.representation,
            device=self.device,
            batch_tokens=batch_tokens,
            keep_gates=keep_gates,
            progress=progress,
            together=self.together,
        )
