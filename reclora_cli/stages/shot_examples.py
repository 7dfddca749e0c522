"""Shots as the LM learns from them: prompts, answers, and R_c for the gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reclora_cli.processes import ALONE, Processes
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.crm_scorer import cached_representations
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import locate
from reclora_cli.stages.assemble import Sources, Speaker
from reclora_cli.training.lm_work import Examples


def policies(recipe: Recipe) -> tuple[str, ...]:
    """Behaviour policies of a shot's prompts: one prompt each; ``mixed`` gives two."""
    if recipe.prompt.behaviours == "mixed":
        return ("recent", "retrieved")
    return (recipe.prompt.behaviours,)


def make_examples(
    recipe: Recipe,
    sources: Sources,
    speaker: Speaker,
    rows: NDArray[np.int64],
    cache: Path,
    progress: Progress = SILENT,
    together: Processes = ALONE,
) -> Examples:
    """Every shot's prompt (two of them under ``mixed``), answer and R_c.

    Args:
        cache: file that keeps R_c of the shots; a resumed tuning does not ask the CRM again.
        together: processes that need the same; the main one asks the CRM for all of them.
    """
    questions = Questions.of_rows(sources.store, rows)
    encoded = [encode(sources, speaker, questions, policy) for policy in policies(recipe)]
    represented: NDArray[np.float32] | None
    if locate.informed(recipe):
        represented = together.from_main(
            lambda: cached_representations(sources.gate_reads(), rows, cache, progress)
        )
    else:
        represented = sources.gate_input(questions)
    times = len(encoded)
    return Examples(
        prompts=EncodedPrompts.concatenate(encoded),
        labels=np.tile(sources.store.row_label(rows), times),
        answers=(speaker.answers.yes_ids, speaker.answers.no_ids),
        representation=None if represented is None else np.tile(represented, (times, 1)),
    )


def encode(sources: Sources, speaker: Speaker, questions: Questions, policy: str) -> EncodedPrompts:
    """Prompts of ``questions`` with the behaviours of one policy."""
    positions = sources.prompt_behaviours(questions, policy)
    return speaker.encode(sources.writer, questions.users, questions.items, positions)
